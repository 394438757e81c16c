"""`senogate up --demo`: an exam goes the whole way, from C-STORE to a report, by the same doors as any other."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from archive.findings import Findings, from_json
from archive.settings import Settings
from inference import installed
from inference.demo import demo_exam
from senogate import models, tokens
from senogate.orthanc import CHECKOUT
from senogate.send import Reading, Sending

REAL_EXAM = CHECKOUT.parent / "shared" / "data" / "nyu-density"  # four real mammograms and a model's weights
_PATIENCE = 300.0  # seconds
_TOKEN_LIFE = 3600  # seconds


def show(settings: Settings, say: Callable[[str], None]) -> None:
    """Send the demo exam, wait for its report, and say what was found and where everything is."""
    views = "four real mammograms" if REAL_EXAM.exists() else "four phantom views"
    say(f"sending the demo exam, {views}, by C-STORE")
    _choose_model(settings, say)
    with tempfile.TemporaryDirectory() as folder:
        for number, instance in enumerate(demo_exam(REAL_EXAM if REAL_EXAM.exists() else None)):
            Path(folder, f"{number}.dcm").write_bytes(instance)
        sending = Sending(settings, [Path(folder)])
        result = sending.run()
        say(result.to_text())
        say("waiting for the report")
        result = sending.wait(result, _PATIENCE)
    for study, reading in result.studies.items():
        say(_describe(settings, study, reading))


def _choose_model(settings: Settings, say: Callable[[str], None]) -> None:
    """Read with the published model where its weights lie beside the checkout, unless the site has chosen another."""
    weights = REAL_EXAM / "histogram_model.p"
    if weights.exists() and not installed.has_chosen(settings.home):
        package = models.import_nyu_density(settings, weights)
        say(f"density is read by {package.model.title} {package.model.version}")


def _describe(settings: Settings, study: str, reading: Reading | None) -> str:
    token = tokens.issue(settings, None, None, _TOKEN_LIFE)
    return f"""
  portal      {settings.public_url}/
  DICOMweb    {settings.dicomweb_url}
  study       {study}
  density     {_density(reading)}
  try         curl -H 'Authorization: Bearer {token}' '{settings.dicomweb_url}/studies?StudyInstanceUID={study}'
  worklist    {settings.public_url}/worklist/ once somebody may sign in:
              senogate account add NAME; senogate role grant account:NAME clinician
  stop        Ctrl-C here, or `senogate down`
"""


def _density(reading: Reading | None) -> str:
    if reading is None or reading.findings is None:
        return f"none: {reading.reason if reading else 'the study was not read'}"
    findings = from_json(reading.findings)
    if not isinstance(findings, Findings):
        return f"none: {findings.reason}"
    evaluation = findings.evaluations[0]
    chances = ", ".join(f"{each.label} {each.probability:.4f}" for each in evaluation.likelihoods)
    model = findings.model
    trained = f"{model.title} {model.version}, trained on: {model.trained_on}"
    return f"BI-RADS {evaluation.label} ({chances}), by {trained}; research use only"
