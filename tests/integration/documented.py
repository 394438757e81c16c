"""What the words of the documentation stand for where its commands are run, and what has to be there before a page."""

from dataclasses import dataclass, field

PASSWORD = "correct horse battery staple"
STUDY = "select study_instance_uid from study where not withheld order by 1 limit 1"
PERMIT = "select permit_id from permit where state <> 'revoked' order by state = 'requested' desc, number desc limit 1"
RUN = "at hub: select run from run order by created_at desc limit 1"


@dataclass(frozen=True)
class Page:
    """`before` runs first. Each word is replaced by what its command prints, or its query (`select …`) finds.

    A source may begin with the place where it is asked (`at hub: …`). `typed` is what a person types at a command that
    begins so, with the words in it. What begins as `fails` says may end with 1 as well: it tells of what is wrong.
    """

    before: str = ""
    words: dict[str, str] = field(default_factory=dict)
    typed: dict[str, str] = field(default_factory=dict)
    fails: str = ""


def _client(name: str) -> str:
    return f"senogate client add {name} --scope dicomweb.read >added || true"


def _dataset(name: str) -> str:
    return f"senogate dataset show {name} >shown || senogate dataset create {name} Modality=MG"


def _package(folder: str) -> str:
    """Make a signed package that the site trusts."""
    return f"""
        rm -rf {folder} {folder}.key* && cp -r inference/models/phantom_density {folder}
        sed -i -e 's/^name = "phantom-trained-density"/name = "{folder}"/' {folder}/passport.toml
        senogate model key {folder}.key && senogate model trust {folder}.key.pub
        senogate model sign {folder} --key {folder}.key
    """


PAGES: dict[str, Page] = {
    "README.md": Page(typed={".venv/bin/senogate account": PASSWORD}),
    "docs/quickstart.md": Page("rm -rf exams clean", typed={"senogate account": PASSWORD}),
    "docs/connect-screening-software.md": Page(
        words={"SECRET": "senogate client rotate screening --overlap 0s --json | pick client_secret"}
    ),
    "docs/federation.md": Page(
        words={
            "5b1d 09aa …": "at hub: senogate federation members --json | pick 0 fingerprint",
            "INVITATION": "at hub: senogate federation invite st-anna --json | pick 0 invitation",
        },
        typed={"senogate federation join": "INVITATION"},
    ),
    "docs/doctor.md": Page(fails="senogate doctor"),
    "docs/backup.md": Page(
        "rm -rf backup.key backup.key.pub backups",
        words={"/mnt/backups": "echo backups", "20260301T020000Z": "ls backups/backups | head -n 1"},
    ),
    "docs/ingest.md": Page(
        "senogate send held >sent",
        {"ID": "select id from spool where reason = 'awaiting-review' and state = 'quarantined' order by 1"},
    ),
    "docs/dicomweb.md": Page(
        _client("my-program"),
        {
            "UID": STUDY,
            "SECRET": "senogate client rotate my-program --overlap 0s --json | pick client_secret",
        },
    ),
    "docs/delivery.md": Page(
        words={"17": "select id from delivery where destination = 'away' order by id limit 1"}
    ),
    "docs/notifications.md": Page(
        f"{_dataset('mammography')}; {_client('screening')}; {_client('broker')}", {"P17": PERMIT}
    ),
    "docs/identity.md": Page(
        words={
            "SECRET": "senogate client rotate density-reader --overlap 0s --json | pick client_secret",
            "KID": "senogate key list --json | pick -1 kid",
        },
        typed={"senogate account": PASSWORD, "senogate issuer": "a secret"},
    ),
    "docs/permits.md": Page(_client("screening"), {"P17": PERMIT}),
    "docs/access.md": Page(
        "echo Data stay where they are. >rules.txt; senogate send told >sent",
        {
            "PATIENT-ID": "echo TOLD-1",
            "SHA256": "sha256sum rules.txt | cut -c 1-64",
            "ID": "select id from consent order by number desc limit 1",
        },
    ),
    "docs/opt-out-and-erasure.md": Page(
        "senogate send gone >sent",
        {
            "PATIENT-ID": "echo GONE-1",
            "UID": "cat gone.uid",
            "ID": "select id from erasure order by asked_at desc limit 1",
        },
    ),
    "docs/secure-use.md": Page(
        f"{_dataset('screening')}; test -d our-density || {{ {_package('our-density')} }}",
        {"P17": PERMIT, "J3": "select job_id from job order by number desc limit 1"},
    ),
    "docs/audit.md": Page(
        "mkdir -p worm",
        {
            "/mnt/worm": "echo worm",
            "PSEUDONYM": "select patient_id from study order by 1 limit 1",
            "P17": "select permit_id from permit order by number limit 1",
        },
    ),
    "docs/models.md": Page(
        _package("other-density"), {"FOLDER": "echo other-density", "NAME": "echo other-density"}
    ),
    "docs/phantoms.md": Page(words={"FOLDER": "echo phantoms-$RANDOM"}),
    "docs/catalogue.md": Page(_dataset("screening")),
    "docs/search.md": Page(
        words={"SECRET": "senogate search token add mediator-$RANDOM --json | pick token"},
    ),
    "docs/quality.md": Page(_dataset("screening"), {"UID": STUDY}),
    "docs/labels.md": Page(
        f"{_dataset('dense-2024')}; echo StudyInstanceUID,Density >labels.csv; echo UID,c >>labels.csv",
        {"UID": STUDY, "HUB": "echo breast-north"},
    ),
    "docs/federated-runs.md": Page("senogate federation init breast-north", {"RUN": RUN}),
    "docs/evaluation.md": Page("senogate federation init breast-north", {"RUN": RUN}),
    "docs/federated-runs-at-a-site.md": Page(_dataset("dense-2024")),
    "docs/federated-search.md": Page(_dataset("dense-2024")),
}
