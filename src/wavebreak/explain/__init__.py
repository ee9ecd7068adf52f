"""What happened to one account, and why: in words, numbers and a picture."""

from wavebreak.explain.gathering import Explanation, explain
from wavebreak.explain.showing import render, write_html
from wavebreak.explain.timeline import Timeline

__all__ = ["Explanation", "Timeline", "explain", "render", "write_html"]
