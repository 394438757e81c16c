"""A visit of the doctor: everything that can be looked at now, whatever of it is broken."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archive import settings as site_settings
from archive.errors import ConfigurationError
from archive.settings import Settings
from archive.state_item import Level
from senogate import site
from senogate.doctor import place
from senogate.doctor.checks import checks_of
from senogate.doctor.examination import examine
from senogate.doctor.finding import Finding, act, fine, ordered

_MEND = "Mend it; docs/settings.md describes every key. Nothing else can be looked at before."


@dataclass(frozen=True)
class Visit:
    """What was found of the site in `home`, that first which calls for most."""

    home: str
    findings: list[Finding]

    @property
    def is_healthy(self) -> bool:
        return not any(finding.is_trouble for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        findings = [finding.to_json() for finding in self.findings]
        return {"home": self.home, "healthy": self.is_healthy, "findings": findings}

    def to_text(self, everything: bool) -> str:
        """A line for each finding; those that call for nobody only where `everything` is asked for."""
        calling = [finding for finding in self.findings if finding.level != Level.FINE]
        shown = self.findings if everything else calling
        trouble = sum(finding.is_trouble for finding in self.findings)
        summary = (
            f"{self.home}: {trouble or 'nothing'} of {len(self.findings)} things "
            f"{'is' if trouble < 2 else 'are'} wrong"
        )
        return "\n".join([*(finding.to_text() for finding in shown), summary])


def visit(seconds: float, environment: Mapping[str, str] | None = None) -> Visit:
    """Look at the site of this home, for `seconds` at most."""
    environment = os.environ if environment is None else environment
    try:
        settings = site_settings.load(environment)
    except ConfigurationError as error:
        return Visit(str(site_settings.home_of(environment)), [act("settings", str(error), _MEND)])
    return Visit(str(settings.home), ordered(_look(settings, seconds)))


def _look(settings: Settings, seconds: float) -> list[Finding]:
    try:
        site.check_profile(settings)
        found = place.look_at(settings)
    except ConfigurationError as error:
        return [act("settings", str(error), _MEND)]
    return [fine("settings", "they can be read"), *examine(found, checks_of(found), seconds)]
