"""Section of Share on provenance: what saved files say about how they were made, whether they are signed, and what a given file says."""

import html
from pathlib import Path
from typing import Any

import gradio as gr

from studio.errors import StudioError
from studio.provenance.inspect import ProvenanceReport, inspect_file
from studio.provenance.policy import EVERYTHING, LABEL_ONLY, ProvenancePolicy, policy_problem, provenance_policy, save_policy
from studio.provenance.signing import enable_signing
from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.components.notes import note

_METADATA = [
    ("Everything\nThe AI label and the recipe: model, seed, settings. Dropped back into the studio, the picture opens again.", EVERYTHING),
    ("Only the AI label\nNo recipe, no seed, no name of a source picture; it cannot be opened again from the file.", LABEL_ONLY),
]
_SIGNING = (
    "A signature (<b>Content Credentials</b>, C2PA) shows that a file was not changed since you saved it. A certificate made here "
    "shows your name, but nobody vouches for it; with a certificate from an authority, that authority does."
)
_CERTIFICATES = [("Make me a certificate", "own"), ("I have one", "given")]
_LABELLED = "<b>Metadata.</b> Every saved picture and video says that AI made it. This label cannot be switched off."
_DROP = "<b>What does a file say?</b> Drop a picture or video from anywhere to see its metadata and signature. It is only read here."
_FIXED = "Only the person who runs this studio can change what files say."


class ProvenanceSection:
    """The policy for saved files beside a place to inspect a file, built inside the current Blocks and wired.

    editable: whether visitors may change the policy, which holds for all of this studio.
    """

    def __init__(self, editable: bool = True):
        self.editable = editable
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=300):
                self._build_policy()
            with gr.Column(scale=5, min_width=300):
                self._build_inspection()
        self._wire()

    def _build_policy(self) -> None:
        now = provenance_policy()
        gr.HTML(note(_LABELLED), padding=False)
        self.trouble = gr.HTML(_trouble_html(), visible=bool(policy_problem()), padding=False, elem_id="marks-trouble")
        self.metadata = gr.Radio(
            _METADATA,
            value=now.tells,
            label="Metadata of files saved from now on",
            elem_id="marks-tells",
            elem_classes="gs-cards",
            interactive=self.editable,
        )
        self.source_metadata = gr.Checkbox(
            now.source_metadata,
            label="Results keep author, rights, description and resolution of their picture or video (never its position)",
            elem_id="marks-source-metadata",
            interactive=self.editable,
        )
        self.signed = gr.Checkbox(
            now.credentials, label="Sign files (Content Credentials)", elem_id="marks-signed", interactive=self.editable
        )
        self.state = gr.HTML(_state_html(now), visible=now.credentials, padding=False, elem_id="marks-state")
        with gr.Group(visible=False) as self.box:
            gr.HTML(note(_SIGNING), elem_classes="gs-pad-note")
            self.way = gr.Radio(_CERTIFICATES, value="given" if now.certificate else "own", label="Certificate", elem_id="marks-way")
            given = bool(now.certificate)
            self.artist, self.certificate, self.key, self.server = (
                gr.Textbox(value, label=label, visible=visible, elem_id=f"marks-{id}")
                for id, value, visible, label in (
                    ("artist", now.artist, not given, "Your name, as the signature shows it"),
                    (
                        "certificate",
                        now.certificate,
                        given,
                        "Certificate: path of a PEM file on this machine, with its issuer's certificates after it",
                    ),
                    ("key", now.key, given, "Its private key: path of a PEM file, without a password"),
                    ("server", now.timestamp_url, given, "Time-stamp server, asked at each save (address; optional)"),
                )
            )
            self.begin = gr.Button("Sign from now on", variant="primary", elem_id="marks-begin")
        if not self.editable:
            gr.HTML(note(_FIXED), padding=False)

    def _build_inspection(self) -> None:
        gr.HTML(note(_DROP), padding=False)
        self.file = gr.File(label="Drop a picture or video here", height=170, elem_id="marks-file", elem_classes="gs-drop")
        self.report = gr.HTML("", padding=False, elem_id="marks-answer")

    def _wire(self) -> None:
        self.file.upload(friendly(_inspect), self.file, self.report, **QUIET)
        self.file.clear(lambda: "", None, self.report, **QUIET)
        if not self.editable:
            return  # not even by a request that does not come from the page
        self.metadata.input(friendly(self._choose), self.metadata, self.trouble, **QUIET)
        self.source_metadata.input(friendly(self._keep_source_metadata), self.source_metadata, self.trouble, **QUIET)
        self.signed.input(friendly(self._switch), self.signed, [self.box, self.state], **QUIET)
        self.way.input(self._show_way, self.way, [self.artist, self.certificate, self.key, self.server], **QUIET)
        given = [self.way, self.artist, self.certificate, self.key, self.server]
        self.begin.click(friendly(self._begin), given, [self.box, *self.enter_outputs], **QUIET)

    @property
    def enter_outputs(self) -> list[Any]:
        """Components that `enter` changes."""
        return [self.metadata, self.source_metadata, self.signed, self.state, self.trouble]

    def enter(self) -> Outputs:
        """The policy as it is now; another page may have changed it."""
        now = provenance_policy()
        return {
            self.metadata: now.tells,
            self.source_metadata: now.source_metadata,
            self.signed: now.credentials,
            self.state: _shown(_state_html(now)),
            self.trouble: _shown(_trouble_html()),
        }

    # -- the policy ----------------------------------------------------------------------------------------------

    def _choose(self, metadata: str) -> Outputs:
        save_policy(provenance_policy().replace(tells=LABEL_ONLY if metadata == LABEL_ONLY else EVERYTHING))
        return {self.trouble: _shown(_trouble_html())}

    def _keep_source_metadata(self, keep: bool) -> Outputs:
        save_policy(provenance_policy().replace(source_metadata=keep))
        return {self.trouble: _shown(_trouble_html())}

    def _switch(self, signed: bool) -> Outputs:
        """Off at once; on only when a signature has succeeded."""
        if not signed and provenance_policy().credentials:
            save_policy(provenance_policy().replace(credentials=False))
        now = provenance_policy()
        text = note("Not yet: press <b>Sign from now on</b>.") if signed and not now.credentials else _state_html(now)
        return {self.box: gr.update(visible=signed), self.state: _shown(text)}

    def _show_way(self, way: str) -> Outputs:
        given = {part: gr.update(visible=way == "given") for part in (self.certificate, self.key, self.server)}
        return {self.artist: gr.update(visible=way == "own"), **given}

    def _begin(self, way: str, artist: str, certificate: str, key: str, server: str) -> Outputs:
        if way == "given" and not (certificate.strip() and key.strip()):
            raise StudioError("The certificate or its key is missing.", "Enter the paths of both files.")
        server = server.strip() if way == "given" else ""
        if server and not server.startswith(("http://", "https://")):
            raise StudioError("The address of the time-stamp server is not a web address.", "Write it as https://..., or leave it empty.")
        paths = dict(certificate=certificate.strip(), key=key.strip()) if way == "given" else dict(certificate="", key="")
        name = artist if way == "own" else provenance_policy().artist
        enable_signing(provenance_policy().replace(artist=name, timestamp_url=server, **paths))
        return {self.box: gr.update(visible=False), **self.enter(), self.signed: True}


def _inspect(file: str | None) -> str:
    return report_html(inspect_file(Path(file))) if file else ""


def report_html(report: ProvenanceReport) -> str:
    """What a file says about how it was made."""
    verdict = "Labelled as made by AI" if report.by_ai else "Not labelled as made by AI"
    rows = "".join(f"<dt>{html.escape(heading)}</dt><dd>{html.escape(sentence)}</dd>" for heading, sentence in report.lines())
    return f'<div class="gs-provenance"><b>{verdict}</b><span>{html.escape(report.name)}</span><dl>{rows}</dl></div>'


def _shown(text: str) -> dict:
    return gr.update(value=text, visible=bool(text))


def _state_html(now: ProvenancePolicy) -> str:
    if not now.credentials:
        return ""
    if now.certificate:
        return note(f"Files are signed with the certificate in <code>{html.escape(now.certificate)}</code>.")
    return note(f"Files are signed as <b>{html.escape(now.artist)}</b>.")


def _trouble_html() -> str:
    trouble = policy_problem()
    return note(f"<b>{html.escape(trouble)}</b> Any choice made here writes new settings.") if trouble else ""
