"""Tests of the live view, in Chromium and over HTTP."""
