"""What tests say beyond pass and fail: what they met, of what they must, and figures. Gathered over all of pytest's processes.

A test says so by `record_property`: ``to meet`` (names), ``met`` (names), ``figure`` (a line).
"""

from __future__ import annotations

import pytest


class Said:
    """Fails a run whose tests did not meet all that they must, and prints what was said at its end."""

    def __init__(self) -> None:
        self._to_meet: dict[str, dict[str, None]] = {}
        self._met: dict[str, dict[str, None]] = {}
        self._figures: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call":
            return
        test = report.nodeid.partition("[")[0]
        for key, value in report.user_properties:
            if key == "to meet":
                self._to_meet.setdefault(test, {}).update(dict.fromkeys(value))
            elif key == "met":
                self._met.setdefault(test, {}).update(dict.fromkeys(value))
            elif key == "figure":
                self._figures.append(str(value))

    @staticmethod
    def _narrowed(config: pytest.Config) -> bool:
        """Whether somebody asked for a part of the tests: it meets a part."""
        return config.getoption("seed") is not None or bool(config.option.keyword)

    def missed(self) -> list[tuple[str, list[str]]]:
        """For each test with something left to meet: what."""
        left = {test: [name for name in names if name not in self._met.get(test, {})] for test, names in self._to_meet.items()}
        return [(test, names) for test, names in left.items() if names]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not self._narrowed(session.config) and not session.shouldstop and self.missed() and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        for figure in self._figures:
            terminalreporter.write_line(figure)
        if not self._narrowed(config):
            for test, names in self.missed():
                terminalreporter.write_line(f"FAILED {test}: never met {', '.join(names)}", red=True)
