"""The main job on real text with nothing to set up: BBC news, a packaged encoder, a real model's recorded answers."""

from agent.demo.showing import prepare, run_demo

__all__ = ["prepare", "run_demo"]
