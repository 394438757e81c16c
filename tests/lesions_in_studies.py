"""A reading of lesions that no model did, in a study at a real site: its row, and its report by the door."""

from typing import Any

from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO

from archive.findings import Findings, to_json
from deidentification.deidentify import Deidentifier
from deidentification.profile import Profile
from inference.results.writers import write
from senogate.site_keys import keys_of
from tests.live import LiveSite, eventually
from tests.unit.findings import lesion_findings

VIEWS = [("L", "CC"), ("R", "CC"), ("L", "MLO"), ("R", "MLO")]


def add_lesions(site: LiveSite, study: str) -> Findings:
    """The findings of `lesion_findings` as done for an exam of four views; returns when their report is indexed."""
    exam = mammograms(site, study)
    findings = lesion_findings(exam)
    keys = keys_of(site.settings)
    door = Deidentifier(keys, Profile.load(site.settings.profile))
    (report,) = write(findings, exam, ["sr"], door.pseudonyms.uid)
    uid = str(dcmread(DicomBytesIO(report)).SOPInstanceUID)
    with site.orthanc() as orthanc, site.database() as database:
        assert orthanc.post("/instances", content=door.prove(report)).is_success
        database.execute(
            "insert into reading (study_instance_uid, task, modality, state, fingerprint, model, findings,"
            " result_sop_instance_uid) values (%s, 'lesions', 'MG', 'done', '', 'Phantom-trained lesion model 1.0.0',"
            " %s::jsonb, %s) on conflict (study_instance_uid, task, modality, shadow)"
            " do update set state = 'done', findings = excluded.findings, model = excluded.model,"
            " result_sop_instance_uid = excluded.result_sop_instance_uid",
            [study, to_json(findings), uid],
        )
    eventually(lambda: uid in instances_of(site, study))
    return findings


def mammograms(site: LiveSite, study: str) -> list[Dataset]:
    """L CC, R CC, L MLO and R MLO of an exam as it is stored."""
    found = {}
    with site.orthanc() as orthanc:
        for identifier in _column(site, study, "orthanc_id"):
            header = dcmread(DicomBytesIO(orthanc.get(f"/instances/{identifier}/file").content))
            found[header.get("ImageLaterality"), header.get("ViewPosition")] = header
    return [found[view] for view in VIEWS]


def instances_of(site: LiveSite, study: str) -> list[Any]:
    """The SOP Instance UIDs of a study that the index has."""
    return _column(site, study, "sop_instance_uid")


def _column(site: LiveSite, study: str, name: str) -> list[Any]:
    statement = f"select {name} from instance where study_instance_uid = %s"  # noqa: S608
    with site.database() as database:
        return [value for (value,) in database.execute(statement, [study])]
