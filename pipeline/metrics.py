"""Every metric of every part, declared once with its meaning and unit; labels are bounded."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

UP = Gauge("auditwire_up", "1 while the part's last health check passed, else 0.", ["part"])
__all__ = ["UP", "Counter", "Gauge", "Histogram"]
