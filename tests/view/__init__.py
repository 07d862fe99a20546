"""Tests of the live view (``kubectl mljob ui``), in Chromium and over HTTP."""
