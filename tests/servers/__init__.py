"""Servers for tests. They share no module with the product, so that one mistake cannot hide in both."""
