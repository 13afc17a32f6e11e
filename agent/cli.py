"""The `labelwright` command: it reads arguments, builds objects and prints. No logic lives here.

Exit codes: 0 done; 1 a bug; 2 input that a person can mend; 130 stopped by Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

import agent
from agent.errors import UserError
from agent.job import Job
from agent.store.reviewers import Role
from agent.watch import Watch
from agent.workbench import Workbench

INTERRUPTED = 130

app = typer.Typer(
    name="labelwright",
    help="Label text with a large model inside a hard budget, review the doubtful rest, distil a model of your own.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done · 1 a bug · 2 input that you can mend · 130 stopped by Ctrl-C or SIGTERM",
)
queue_app = typer.Typer(
    name="queue", help="The texts that wait for a person, as a table to fill in.", no_args_is_help=True
)
app.add_typer(queue_app)
reviewers_app = typer.Typer(
    name="reviewers", help="Who may review, where several people do, each with a token.", no_args_is_help=True
)
app.add_typer(reviewers_app)
store_app = typer.Typer(name="store", help="Where jobs keep their state: a file, or a server.", no_args_is_help=True)
app.add_typer(store_app)

JobFile = Annotated[Path, typer.Argument(help="The job file.", metavar="JOB.YAML", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable JSON on standard output.")]

ModelFolder = Annotated[
    Path, typer.Argument(help="A folder that `distil` made.", metavar="MODEL_FOLDER", show_default=False)
]
OnOnnx = Annotated[bool, typer.Option("--onnx", help="On onnxruntime, with what `labelwright onnx` wrote.")]
OnInt8 = Annotated[bool, typer.Option("--int8", help="The same with weights of eight bits (`onnx --int8`).")]
PushTo = Annotated[
    str | None,
    typer.Option("--push", metavar="OWNER/NAME", help="Then put it on the Hugging Face hub, as `labelwright push`."),
]
Public = Annotated[bool, typer.Option("--public", help="On the hub, for everyone to see.")]


def example(line: str) -> str:
    """The example at the end of a command's help."""
    return f"Example: [bold]{line}[/bold]"


def out(data: Any) -> None:
    """JSON on standard output."""
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False, default=str))


def say(line: str) -> None:
    """A line for a person, on standard output. User text in it has to be escaped."""
    Console(highlight=False).print(line, soft_wrap=True)


def show(lines: Iterable[tuple[str, str]]) -> None:
    """Lines of a word and what is said of it, on standard output; a long one goes on under its own beginning."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for head, said in lines:
        table.add_row(escape(head), escape(said))
    Console(highlight=False).print(Padding(table, (0, 0, 0, 2)))


def watcher(as_json: bool) -> Watch:
    """Progress goes to standard error, where it does not disturb `--json`."""
    from agent.console import Lines

    return Lines(Console(stderr=True, quiet=as_json and not sys.stderr.isatty(), highlight=False))


def main() -> None:
    """The entry point: what a person can mend is one message and exit code 2; a bug keeps its traceback."""
    try:
        code = app(standalone_mode=False)  # typer.Exit does not come up from there: its code is returned
        if code == INTERRUPTED:  # so says typer of a KeyboardInterrupt, without a word
            raise KeyboardInterrupt
        if isinstance(code, int) and code:
            sys.exit(code)
    except UserError as error:
        Console(stderr=True, highlight=False).print(
            f"[bold red]error:[/bold red] {escape(str(error))}", soft_wrap=True
        )
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        Console(stderr=True).print("stopped; what was answered is kept, and the same command goes on from there")
        sys.exit(INTERRUPTED)
    except Exception as error:
        shown = getattr(error, "show", None)  # click's own: a wrong option, a missing argument
        if shown is None:
            raise
        shown()
        sys.exit(getattr(error, "exit_code", 2))


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False) -> None:
    if version:
        typer.echo(f"labelwright {agent.__version__}")
        raise typer.Exit


@app.command(epilog=example("labelwright init job.yaml"))
def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("job.yaml"),
    force: Annotated[bool, typer.Option(help="Write over a file that is there.")] = False,
) -> None:
    """Write a commented job file to start from."""
    from agent.starting import write_job_file

    write_job_file(path, force=force)
    say(f"wrote {escape(str(path))}; edit it, then: [bold]labelwright check {escape(str(path))}[/bold]")


@app.command(epilog=example("labelwright check job.yaml"))
def check(path: JobFile, as_json: AsJson = False) -> None:
    """Look at job, data, prompt, store, endpoint and price without spending anything."""
    from agent.checking import check as look

    with Workbench(Job.load(path), watcher(as_json)) as bench:
        findings = list(look(bench))
    if as_json:
        out([{"what": f.what, "fine": f.fine, "said": f.said} for f in findings])
    for f in [] if as_json else findings:
        mark = "[green]ok[/green]     " if f.fine else "[bold red]problem[/bold red]"
        say(f"{mark} {escape(f.what)}: {escape(f.said)}")
    if not all(f.fine for f in findings):
        raise typer.Exit(2)


@app.command(epilog=example("labelwright estimate job.yaml --pilot 50"))
def estimate(
    path: JobFile,
    pilot: Annotated[
        int | None,
        typer.Option(help="Buy answers about N random texts first. They come out of the job's budget, and the run "
                     "does not buy them again.", min=1, metavar="N"),
    ] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """What the job will cost and how long it takes, with intervals.

    Without --pilot no question is asked: the prompts of a sample are counted, by the server where it is a vLLM.
    """
    from agent.estimating import estimate as price
    from agent.piloting import pilot as buy

    with Workbench(Job.load(path), watcher(as_json)) as bench:
        if pilot is not None:
            buy(bench, pilot)
        found = price(bench)
    if as_json:
        out([e.figures() for e in found])
        return
    for e in found:
        say(f"[bold]{escape(e.oracle)}[/bold] ({escape(e.model)})")
        show([("from", e.basis), *e.lines()])


@app.command(epilog=example("labelwright pilot job.yaml --dollars 0.05"))
def pilot(
    path: JobFile,
    dollars: Annotated[float, typer.Option(help="Most that it may cost; it comes out of the job's budget.", min=0.0)],
    texts: Annotated[int, typer.Option(help="Most texts that each format is asked about.", min=20)] = 100,
    write: Annotated[bool, typer.Option("--write/--no-write", help="Put the best format into the job file.")] = True,
    as_json: AsJson = False,
) -> None:
    """Try several ways of asking on texts whose labels are known, and put the best one into the job file.

    The known labels are `data.gold`, what people reviewed, and what of the seed no question shows.
    """
    from agent.formats import changes, compare, write_format
    from agent.report.wording import dollars as dollars_of

    with Workbench(Job.load(path), watcher(as_json)) as bench:
        found = compare(bench, dollars, texts)
    written = write and write_format(path, found.best.form)
    if as_json:
        out(found.figures() | {"written": written})
        return
    _table(found.table())
    say(f"it cost {dollars_of(found.spent)}; {escape(found.ended)}")
    said = json.dumps(changes(found.best.form))
    if written:
        say(f"{escape(str(path))}: `format: {escape(said)}` was put into oracle {escape(found.oracle)}")
    elif write:
        say(f"{escape(str(path))} says so already: nothing was changed")
    else:
        say(f"nothing was written; the best is: format: {escape(said)}")


@app.command(epilog=example("labelwright run job.yaml"))
def run(path: JobFile, as_json: AsJson = False) -> None:
    """Run a job, or go on with it: pick, ask, triage, distil, report. Nothing answered is bought twice."""
    from agent.ending import as_json as plainly
    from agent.ending import ending
    from agent.loop import run as go

    outcome = go(Job.load(path), watcher(as_json))
    if as_json:
        out(plainly(outcome))
    elif outcome.delivered is not None:
        for part in ending(outcome.delivered, path):
            Console(highlight=False).print(part, soft_wrap=True)
    if outcome.delivered is None:
        sys.exit(INTERRUPTED)  # the run has said so itself


@app.command(epilog=example("labelwright status job.yaml"))
def status(path: JobFile, as_json: AsJson = False) -> None:
    """Where a job stands: labels, money, rounds, and what waits for a person."""
    from agent.standing import standing, told

    with Workbench(Job.load(path)) as bench:
        found = standing(bench)
    if as_json:
        out(found)
        return
    say(f"[bold]{escape(found['job'])}[/bold]")
    show(told(found))


@app.command(epilog=example("labelwright agreement job.yaml"))
def agreement(path: JobFile, as_json: AsJson = False) -> None:
    """How far people, oracles and student agree, how fast each person is, and what seeing a suggestion does."""
    from dataclasses import asdict

    from agent.report.agreement import told
    from agent.report.sums import as_json as plainly
    from agent.standing import agreement as agreed

    with Workbench(Job.load(path)) as bench:
        found = agreed(bench)
    if as_json:
        out(None if found is None else plainly(asdict(found)))
    elif found is None:
        say("no two people, oracles or students labelled the same text yet: nothing to compare")
    else:
        texts = "1 text" if found.texts == 1 else f"{found.texts:,} texts"
        say(f"{texts} labelled by at least two")
        show(told(found))


@app.command(epilog=example("labelwright record job.yaml --output tape.jsonl.gz"))
def record(
    path: JobFile,
    output: Annotated[Path, typer.Option(help="The tape to write.")] = Path("tape.jsonl.gz"),
    limit: Annotated[int | None, typer.Option(help="Only the first so many texts.", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the first oracle about every text of pool and gold, and keep its answers as a tape to replay."""
    from agent.recording import record as tape
    from agent.report.wording import dollars as dollars_of

    done = tape(Job.load(path), output, limit=limit, watch=watcher(as_json))
    if as_json:
        out({"tape": str(done.path), "answers": done.answers, "missing": done.missing,
             "spent_dollars": done.spending.spent / 1e6})  # fmt: skip
        return
    missing = f"; {done.missing} are missing: run it again, or raise the budget" if done.missing else ""
    say(f"{escape(str(done.path))}: {done.answers} answers for {dollars_of(done.spending.spent)}{missing}")


@app.command(epilog=example("labelwright review job.yaml --person ada"))
def review(  # noqa: PLR0917 - what the command takes
    path: JobFile,
    person: Annotated[str, typer.Option(help="Who reviews: kept beside each label.")] = "reviewer",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8765,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = False,
    team: Annotated[bool, typer.Option("--team", help="Everyone shows the token that `reviewers add` gave.")] = False,
) -> None:
    """Open the review page: one text at a time, number keys, undo, skip."""
    from agent.review.serve import serve

    job = Job.load(path)
    with Workbench(job) as bench:
        known = bench.seed if job.people.honey_pots else ()
        serve(bench.store, job, bench.task, None if team else person, host, port, browser, known)


@reviewers_app.command("add", epilog=example("labelwright reviewers add job.yaml ada --role lead"))
def reviewers_add(
    path: JobFile,
    name: Annotated[str, typer.Argument(help="Who: kept beside each label.", show_default=False)],
    role: Annotated[Role, typer.Option(help="A lead also decides where people disagree.")] = Role.reviewer,
    as_json: AsJson = False,
) -> None:
    """Let somebody in to `labelwright review --team`: prints their token, once. Again gives a new one."""
    from agent.review.serve import check_name

    check_name(name)
    job = Job.load(path)
    with Workbench(job) as bench:
        token = bench.store.add_reviewer(job.name, name, role.value)
    if as_json:
        out({"name": name, "role": role.value, "token": token})
        return
    show([("reviewer", escape(f"{name}, {role.value}")), ("token", token)])
    say("only its hash is kept: give it to them now; they open the review's address with ?key=TOKEN")


@reviewers_app.command("revoke", epilog=example("labelwright reviewers revoke job.yaml ada"))
def reviewers_revoke(path: JobFile, name: Annotated[str, typer.Argument(help="Who.", show_default=False)]) -> None:
    """Let somebody in no more, at once. Their labels stay, and what was before them is free for others."""
    job = Job.load(path)
    with Workbench(job) as bench:
        bench.store.revoke_reviewer(job.name, name)
    say(f"{escape(name)} is let in no more; their labels stay")


@reviewers_app.command("list", epilog=example("labelwright reviewers list job.yaml"))
def reviewers_list(path: JobFile, as_json: AsJson = False) -> None:
    """Who may review, and what each has done: labels, and how many of the honey pots among them were right."""
    from agent.agreeing import right_of_pots

    job = Job.load(path)
    with Workbench(job) as bench:
        right = right_of_pots(bench.store, job.name, bench.task)
        people = bench.store.reviewers(job.name)
        queued = bench.store.queued(job.name, [r.name for r in people])
        found = [(r, queued[r.name].labelled) for r in people]
    if as_json:
        told = [(r, n, right.get(r.name, [])) for r, n in found]
        out(
            [
                {
                    "name": r.name,
                    "role": r.role,
                    "labels": n,
                    "revoked": r.revoked_at is not None,
                    "honey_pots": len(pots),
                    "right": sum(pots),
                }
                for r, n, pots in told
            ]
        )
        return
    if not found:
        say("nobody yet: labelwright reviewers add job.yaml NAME")
    show(
        [
            (
                r.role if r.revoked_at is None else "revoked",
                f"{escape(r.name)}: {n:,} labels{_of_pots(right, r.name)}",
            )
            for r, n in found
        ]
    )


def _of_pots(right: Mapping[str, Sequence[bool]], name: str) -> str:
    pots = right.get(name, [])
    return f", {sum(pots)} of {len(pots)} honey pots right" if pots else ""


@app.command(epilog=example("labelwright audit job.yaml --size 400"))
def audit(  # noqa: PLR0917 - what the command takes
    path: JobFile,
    size: Annotated[
        int | None, typer.Option(help="Draw so many labels; with --below at most so many.", min=1)
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="Draw as many as an interval takes, to either side: 0.02 is ±2 points.")
    ] = None,
    below: Annotated[
        float | None,
        typer.Option(help="Test whether fewer than this share are wrong (0.05), and stop as early as can be."),
    ] = None,
    alpha: Annotated[float | None, typer.Option(help="The test's chance to be wrong; 0.05 if not given.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Also while another audit waits for a person.")] = False,
    as_json: AsJson = False,
) -> None:
    """Have people judge a random sample of the machines' labels blind: how many are right, and how sure that is.

    Without --size, --margin or --below it says what the audits so far found.
    """
    from agent import auditing
    from agent.report.certificate import lines

    wish = auditing.Wish.of(size, margin, below, alpha, again=again)
    with Workbench(Job.load(path)) as bench:
        if wish is not None:
            drawn = auditing.begin(bench, wish, again=again)
            if as_json:
                out(drawn.figures())
                return
            say(f"[bold]audit {drawn.id}[/bold]")
            show([*auditing.told(drawn), ("next", f"labelwright review {path}, then: labelwright audit {path}")])
            return
        found = auditing.results(bench)
    if as_json:
        out([auditing.figures(c) for c in found])
        return
    if not found:
        say(f"no audit was drawn yet: labelwright audit {escape(str(path))} --size 200")
    for c in found:
        say(f"[bold]audit {c.id}[/bold]")
        for said in lines(c):
            Console(highlight=False).print(Padding(escape(said), (0, 0, 0, 2)))
        _parts(c)


@app.command(epilog=example("labelwright suspects job.yaml --send 50"))
def suspects(
    path: JobFile,
    send: Annotated[
        int | None, typer.Option(help="Have people shown so many of them, the likeliest first.", min=1)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look for accepted labels that look wrong, and have people shown the worst; each counts until one says no.

    Without --send it only looks, and says what people said of those that they were shown.
    """
    from agent import suspects as looking

    with Workbench(Job.load(path), watcher(as_json)) as bench:
        found = looking.look(bench, send)
    if as_json:
        out(found.figures())
        return
    more = [("next", f"labelwright review {path}")] if found.waiting else []
    more += (
        [("next", f"labelwright suspects {path} --send {found.look_wrong}")] if found.look_wrong and not send else []
    )
    show([*looking.told(found), *more])


def _parts(found: Any) -> None:
    """What an audit found by standing, oracle and class, a table each."""
    from agent.report.certificate import part

    for title, parts in (("labels", found.standings), ("oracle", found.oracles), ("class", found.classes)):
        if not parts:
            continue
        table = Table(title, box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="cyan")
        for head in ("right", "interval", "items of labels"):
            table.add_column(head, justify="right")
        for row in map(part, parts):
            table.add_row(*map(escape, row))
        Console(highlight=False).print(Padding(table, (0, 0, 1, 2)))


@queue_app.command("export", epilog=example("labelwright queue export job.yaml --format label-studio"))
def queue_export(
    path: JobFile,
    output: Annotated[Path | None, typer.Option(help="The file to write, for argilla a folder.")] = None,
    form: Annotated[str, typer.Option("--format", help="csv, label-studio or argilla.")] = "csv",
    everything: Annotated[
        bool, typer.Option("--all", help="Every labelled text with all that was said of it, instead of the queue.")
    ] = False,
) -> None:
    """Write what waits for a person, to be labelled elsewhere. What is blind leaves without the machine's answer."""
    from agent.review.exchange import OUTPUTS, export_queue, kind_named

    job, kind = Job.load(path), kind_named(form)
    output = output or Path(OUTPUTS[kind])
    with Workbench(job) as bench:
        count = export_queue(bench.store, job, bench.task, output, kind, everything)
    if not count:
        nothing = "no text has a label" if everything else "nothing waits for a person"
        say(f"{escape(str(output))}: {nothing}, so it is empty")
        return
    texts = "1 text" if count == 1 else f"{count:,} texts"
    todo = "fill in `label`" if kind == "csv" else "label them there, export as JSON"
    say(f"{escape(str(output))}: {texts}; {todo}, then: labelwright queue import "
        f"{escape(str(path))} {escape(str(output))}")  # fmt: skip


@queue_app.command("import", epilog=example("labelwright queue import job.yaml queue.csv --person ada"))
def queue_import(
    path: JobFile,
    file: Annotated[Path, typer.Argument(help="The file, filled in; of Argilla a folder too.", show_default=False)],
    person: Annotated[str, typer.Option(help="Who gave the labels that the file names nobody for.")] = "reviewer",
    form: Annotated[
        str | None, typer.Option("--format", help="csv, label-studio or argilla; by what is in it where left out.")
    ] = None,
) -> None:
    """Read labels that people gave. Either all of them are taken or, where one is wrong, none."""
    from agent.review.exchange import import_queue, kind_named

    job = Job.load(path)
    with Workbench(job) as bench:
        done = import_queue(bench.store, job, bench.task, file, person, kind_named(form) if form else None)
    say(f"{escape(str(file))}: {escape(str(done))}")


@store_app.command("copy", epilog=example("labelwright store copy job.yaml postgresql://ada@db.example/labels"))
def store_copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="Its address, or a job file.", show_default=False)],
    target: Annotated[str, typer.Argument(metavar="TO", help="The address of an empty one.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Copy everything that a store holds into another one, whole or not at all. Its jobs go on from there."""
    from agent.report.wording import dollars as dollars_of
    from agent.store.copy import address, copy_store

    copied = copy_store(address(source), target)
    if as_json:
        out(copied.figures())
        return
    held = f"{sum(copied.rows.values()):,} rows of {', '.join(copied.jobs)}, {dollars_of(copied.spent)} spent"
    say(f"{escape(copied.target)}: {escape(held)}")
    say("put that address into the job file as `store:`, and leave the old store alone: it has a budget of its own")


@app.command(epilog=example("labelwright distil job.yaml"))
def distil(  # noqa: PLR0917 - what the command takes
    path: JobFile,
    encoders: Annotated[
        list[str] | None, typer.Argument(help="With --compare: names or folders of encoders.", show_default=False)
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Train each of ENCODERS on the same labels, and keep the best.")
    ] = False,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Go on from the model in this folder, not from the encoder.",
            metavar="MODEL_FOLDER",
            show_default=False,
        ),
    ] = None,
    promote: Annotated[
        bool, typer.Option("--promote", help="Take the new model also where gold says that it is worse.")
    ] = False,
    push: PushTo = None,
    public: Public = False,
    as_json: AsJson = False,
) -> None:
    """Train the model from the labels as they are now, and save it as a transformers folder.

    What was killed goes on where it was. With --compare several encoders are tried: a table says how each does on
    labels that were held out, and the best is trained on all labels; of equals the smaller is kept, or the first.

    With --from a model goes on learning. Classes that it knows keep what it knows of them, also where this job has no
    labels of them; new ones are added, and those that the job does not have are dropped. From a model of another task
    its layers are taken, and the classes are new.

    A model that is there already is kept where the new one is worse on the gold texts, beyond chance; the new one is
    then in model-refused, beside it.
    """
    if compare != bool(encoders):
        raise UserError("--compare and the encoders go together: labelwright distil job.yaml --compare A B")
    if compare and start is not None:
        raise UserError(
            "--from goes on from one model, and --compare tries several encoders: leave one of the two out"
        )
    place = partial(_reserved, push, "model", public=public)
    if not encoders:

        def make(delivery: Any, bench: Workbench) -> dict[str, Path]:
            return {"model": delivery.distil_again(bench, promote=promote, start=start)}

        _deliver(path, as_json, make, place)
        return
    from agent import delivery

    with Workbench(Job.load(path), watcher(as_json)) as bench:
        bench.own()
        there = place()
        found = delivery.distil_best(bench, encoders, promote=promote)
    pushed = there and there.push(found.distilled.folder)
    if as_json:
        out(found.figures() | {"model": str(found.distilled.folder)} | _hub_figures(pushed))
        return
    _table(found.table())
    say(f"kept: {escape(found.best)}; {escape(found.why)} ({found.measured_on})")
    say(f"model: {escape(str(found.distilled.folder))}")
    if pushed:
        say(f"hub: {escape(str(pushed))}")


def _reserved(name: str | None, kind: str, *, public: bool) -> Any:
    """The place on the hub, or None where none is wanted. What bars it is told before any work is done."""
    if name is None:
        if public:
            raise UserError("--public goes with --push OWNER/NAME: without it nothing leaves this machine")
        return None
    from agent import hub

    return hub.reserve(name, hub.Kind(kind), public=public)


def _hub_figures(pushed: Any) -> dict[str, Any]:
    return {"hub": pushed.figures()} if pushed else {}


@app.command(epilog=example("labelwright push out/model ada/topics"))
def push(
    folder: Annotated[
        Path,
        typer.Argument(help="What `distil` or `export` wrote: out/model, out/labels.", metavar="FOLDER",
                       show_default=False),
    ],
    name: Annotated[
        str, typer.Argument(help="Where to on the hub.", metavar="OWNER/NAME", show_default=False)
    ],
    public: Public = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Put a distilled model, or exported labels with their texts, on the Hugging Face hub. Private unless --public.

    The token is that of the environment variable HF_TOKEN or of `hf auth login`. Pushed again, the same place holds
    what the folder does now. HF_ENDPOINT names another hub.
    """
    from agent import hub

    pushed = hub.reserve(name, hub.kind_of(folder), public=public).push(folder)
    if as_json:
        out(pushed.figures())
    else:
        say(escape(str(pushed)))


@app.command(epilog=example("labelwright report job.yaml"))
def report(path: JobFile, as_json: AsJson = False) -> None:
    """Write the report (one HTML file, and the same figures as JSON)."""
    _deliver(path, as_json, lambda delivery, bench: delivery.write_report(bench))


def _table(rows: Sequence[Sequence[str]]) -> None:
    """Rows of words under the first one."""
    head, *others = rows
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="cyan")
    for title in head:
        table.add_column(escape(title), overflow="fold")
    for row in others:
        table.add_row(*map(escape, row))
    Console(highlight=False).print(table)


@app.command(epilog=example("labelwright export job.yaml"))
def export(  # noqa: PLR0917 - what the command takes
    path: JobFile,
    formats: Annotated[
        str,
        typer.Option(
            help="Any of parquet, csv, jsonl, datasets, conll (of spans), squad (of questions), chat (of texts), "
            "with commas."
        ),
    ] = ("parquet,csv,jsonl,datasets"),
    all_rows: Annotated[bool, typer.Option("--all", help="Also rows without a label.")] = False,
    student: Annotated[
        bool, typer.Option("--student", help="Also the student's labels of texts that nobody was asked about.")
    ] = False,
    hide_people: Annotated[
        bool, typer.Option("--hide-people", help="Whoever gave a label is `person 1` and so on, and not named.")
    ] = False,
    push: PushTo = None,
    public: Public = False,
    as_json: AsJson = False,
) -> None:
    """Write every label with its provenance, and a data card: `datasets.load_dataset` reads the folder."""
    wanted = [f.strip() for f in formats.split(",") if f.strip()]

    def exported(delivery: Any, bench: Workbench) -> dict[str, Path]:
        how = {"all_rows": all_rows, "with_student": student, "hide_people": hide_people}
        found: dict[str, Path] = delivery.export_labels(bench, wanted, **how)
        return found

    _deliver(path, as_json, exported, partial(_reserved, push, "dataset", public=public))


def _deliver(
    path: Path,
    as_json: bool,
    act: Callable[[Any, Workbench], dict[str, Path]],
    place: Callable[[], Any] = lambda: None,
) -> None:
    """What `act` hands over, and where it is then; where `place` finds one on the hub it is put there."""
    from agent import delivery

    with Workbench(Job.load(path), watcher(as_json)) as bench:
        bench.own()
        there = place()
        paths = act(delivery, bench)
    pushed = there and there.push(*paths.values())
    if as_json:
        out({k: str(v) for k, v in paths.items()} | _hub_figures(pushed))
        return
    for name, where in paths.items():
        say(f"{escape(name)}: {escape(str(where))}")
    if pushed:
        say(f"hub: {escape(str(pushed))}")


@app.command(epilog=example("labelwright predict out/model texts.csv --output labelled.csv"))
def predict(  # noqa: PLR0917 - what the command takes
    model: ModelFolder,
    file: Annotated[Path, typer.Argument(help="Texts: .csv .tsv .jsonl .parquet", show_default=False)],
    output: Annotated[Path | None, typer.Option(help="Where to; beside the file by default.")] = None,
    text: Annotated[
        str | None, typer.Option(help="The text column; else what the model remembers, or `text`.")
    ] = None,
    second: Annotated[str | None, typer.Option(help="Of pairs, the second text's column.")] = None,
    image: Annotated[
        str | None, typer.Option(help="Of texts with pictures, the column of the pictures' paths.")
    ] = None,
    onnx: OnOnnx = False,
    int8: OnInt8 = False,
    samples: Annotated[
        int,
        typer.Option(min=0, max=64, help="Of a model that writes: draw so many more, and say how they differ."),
    ] = 0,
) -> None:
    """Label a file of any size with a distilled model: writes label, confidence and the probability of each class."""
    from agent.console import Lines
    from agent.distill import Runtime, load_model, predict_file
    from agent.images import Images

    target = output or file.with_name(f"{file.stem}.labelled{file.suffix}")
    watch = Lines()
    runtime = Runtime.chosen(onnx=onnx, int8=int8)
    loaded = load_model(model, runtime, samples=samples, images=Images(file.parent))
    count = predict_file(loaded, file, target, text, second_column=second, image_column=image,
                         progress=lambda done, total: watch.progress("labelling", done, total))  # fmt: skip
    say(f"{escape(str(target))}: {count:,} texts")


@app.command(epilog=example("labelwright onnx out/model --int8 --gold gold.csv"))
def onnx(  # noqa: PLR0917 - what the command takes
    model: ModelFolder,
    int8: Annotated[
        bool, typer.Option("--int8", help="Also with weights of eight bits: a quarter of the size, and faster.")
    ] = False,
    texts: Annotated[
        Path | None, typer.Option(help="Texts to compare on; by default some that come with Labelwright.")
    ] = None,
    gold: Annotated[Path | None, typer.Option(help="Texts with the right labels, to measure accuracy on.")] = None,
    text: Annotated[
        str | None, typer.Option(help="The text column; else what the model remembers, or `text`.")
    ] = None,
    label: Annotated[str, typer.Option(help="The label column of the gold file.")] = "label",
    as_json: AsJson = False,
) -> None:
    """Write a distilled model as ONNX into its folder, once it is seen to give the same labels there."""
    from agent.distill import Checks, write_onnx

    done = write_onnx(model, Checks(texts, gold, text, label), int8=int8)
    if as_json:
        out(done.figures())
    else:
        show(done.lines())


@app.command(epilog=example("labelwright serve out/model --onnx"))
def serve(  # noqa: PLR0917 - what the command takes
    model: ModelFolder,
    host: Annotated[
        str, typer.Option(help="Address to listen on; one that others can reach takes a token in LABELWRIGHT_TOKEN.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8766,
    onnx: OnOnnx = False,
    int8: OnInt8 = False,
    log: Annotated[
        Path | None,
        typer.Option(help="Keep some of the texts in this folder, a pool for the next job, and watch for drift.",
                     metavar="FOLDER", show_default=False),
    ] = None,
    log_per_day: Annotated[int, typer.Option(help="Most texts that --log keeps a day (UTC).", min=1)] = 100,
) -> None:  # fmt: skip
    """Answer over HTTP with a distilled model: POST /predict, GET /health, GET /metrics."""
    from agent.distill import Runtime
    from agent.endpoint.serve import Keeping
    from agent.endpoint.serve import serve as answer

    keeping = None if log is None else Keeping(log, log_per_day)
    answer(model, host, port, Runtime.chosen(onnx=onnx, int8=int8), keeping)


@app.command(epilog=example("labelwright drift seen"))
def drift(
    folder: Annotated[
        Path, typer.Argument(help="A folder of `serve --log`.", metavar="FOLDER", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """What a served model saw: how many texts, which were kept and why, and whether they or its answers have changed.

    The same is written to drift.json in the folder.
    """
    from agent.stream import report as look

    found = look(folder)
    if as_json:
        out(found.figures())
        return
    show(found.lines())


@app.command(epilog=example("labelwright demo --output demo-out"))
def demo(
    output: Annotated[Path, typer.Option(help="The folder to work in.")] = Path("demo-out"),
    as_json: AsJson = False,
) -> None:
    """Run the whole job on 1,000 BBC news articles with recorded answers: no key, no server, no GPU."""
    from agent.demo import run_demo

    run_demo(output, watcher(as_json), as_json=as_json)


if __name__ == "__main__":
    main()
