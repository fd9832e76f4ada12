"""What saved files tell, and whether they are signed; and a place to ask a file what it tells."""

import html
from pathlib import Path

import gradio as gr

from studio.errors import StudioError
from studio.provenance.inspect import ProvenanceReport, inspect_file
from studio.provenance.policy import EVERYTHING, LABEL_ONLY, ProvenancePolicy, policy_problem, provenance_policy, save_policy
from studio.provenance.signing import enable_signing
from studio.ui.components.handlers import QUIET, friendly
from studio.ui.components.notes import note

_TELLS = [
    ("Everything\nThe mark of AI and the recipe: model, seed, settings. Dropped back in, the picture opens again.", EVERYTHING),
    ("Only the mark\nThat AI made it. No recipe, no seed, no name of a source; it cannot be opened again from the file.", LABEL_ONLY),
]
_SIGNING = (
    "A signature (<b>Content Credentials</b>, C2PA) shows that a file was not changed since you saved it. A certificate made here "
    "shows your name, but nobody vouches for it; one from an authority does that."
)
_WAYS = [("Make me a certificate", "own"), ("I have one", "given")]
_MARKED = "<b>What saved files tell.</b> Every picture and video says that AI made it. That mark cannot be switched off."
_DROP = "<b>What does this picture tell?</b> Drop a picture or video from anywhere. It is looked at here, and nowhere else."
_FIXED = "Only whoever runs this studio can change what files tell."


class MarksPage:
    """Builds the part inside the current Blocks and wires it.

    session: the visitor's.  editable: whether visitors may change the settings, which hold for all of this studio.
    """

    def __init__(self, session: gr.State, editable: bool = True):
        self.session, self.editable = session, editable
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=300):
                self._build_choice()
            with gr.Column(scale=5, min_width=300):
                self._build_question()
        self._wire()

    def _build_choice(self) -> None:
        now = provenance_policy()
        gr.HTML(note(_MARKED), padding=False)
        self.trouble = gr.HTML(_trouble_html(), visible=bool(policy_problem()), padding=False, elem_id="marks-trouble")
        self.tells = gr.Radio(
            _TELLS,
            value=now.tells,
            label="Files saved from now on tell",
            elem_id="marks-tells",
            elem_classes="gs-cards",
            interactive=self.editable,
        )
        self.signed = gr.Checkbox(
            now.credentials, label="Sign files (Content Credentials)", elem_id="marks-signed", interactive=self.editable
        )
        self.state = gr.HTML(_state_html(now), visible=now.credentials, padding=False, elem_id="marks-state")
        with gr.Group(visible=False) as self.box:
            gr.HTML(note(_SIGNING), elem_classes="gs-pad-note")
            self.way = gr.Radio(_WAYS, value="given" if now.certificate else "own", label="Certificate", elem_id="marks-way")
            given = bool(now.certificate)
            self.artist, self.certificate, self.key, self.server = (
                gr.Textbox(value, label=label, visible=visible, elem_id=f"marks-{id}")
                for id, value, visible, label in (
                    ("artist", now.artist, not given, "Your name, as it stands in the signature"),
                    (
                        "certificate",
                        now.certificate,
                        given,
                        "Certificate: path of a PEM file on this machine, that of its issuer behind it",
                    ),
                    ("key", now.key, given, "Its private key: path of a PEM file, without a password"),
                    ("server", now.timestamp_url, given, "Time-stamp server, asked at each save (address; may stay empty)"),
                )
            )
            self.begin = gr.Button("Sign from now on", variant="primary", elem_id="marks-begin")
        if not self.editable:
            gr.HTML(note(_FIXED), padding=False)

    def _build_question(self) -> None:
        gr.HTML(note(_DROP), padding=False)
        self.file = gr.File(label="Drop a picture or video here", height=170, elem_id="marks-file", elem_classes="gs-drop")
        self.answer = gr.HTML("", padding=False, elem_id="marks-answer")

    def _wire(self) -> None:
        self.file.upload(friendly(_answer), self.file, self.answer, **QUIET)
        self.file.clear(lambda: "", None, self.answer, **QUIET)
        if not self.editable:
            return  # not even by a request that does not come from the page
        self.tells.input(friendly(_choose), self.tells, self.trouble, **QUIET)
        self.signed.input(friendly(_switch), self.signed, [self.box, self.state], **QUIET)
        self.way.input(_show_way, self.way, [self.artist, self.certificate, self.key, self.server], **QUIET)
        given = [self.way, self.artist, self.certificate, self.key, self.server]
        self.begin.click(friendly(_begin), given, [self.box, self.signed, self.state, self.trouble], **QUIET)

    @property
    def enter_outputs(self) -> list:
        """Outputs of `enter`."""
        return [self.tells, self.signed, self.state, self.trouble]

    def enter(self) -> list:
        """When the tab is opened: the settings as they are now, which another page may have changed."""
        now = provenance_policy()
        return [now.tells, now.credentials, _shown(_state_html(now)), _shown(_trouble_html())]


def _choose(tells: str) -> dict:
    save_policy(provenance_policy().replace(tells=LABEL_ONLY if tells == LABEL_ONLY else EVERYTHING))
    return _shown(_trouble_html())


def _switch(signed: bool) -> list:
    """For [box, state]. Off at once; on when a signature has held."""
    if not signed and provenance_policy().credentials:
        save_policy(provenance_policy().replace(credentials=False))
    now = provenance_policy()
    text = note("Not yet: press <b>Sign from now on</b>.") if signed and not now.credentials else _state_html(now)
    return [gr.update(visible=signed), _shown(text)]


def _show_way(way: str) -> list:
    return [gr.update(visible=way == "own"), *[gr.update(visible=way == "given")] * 3]


def _begin(way: str, artist: str, certificate: str, key: str, server: str) -> list:
    """For [box, signed, state, trouble]."""
    if way == "given" and not (certificate.strip() and key.strip()):
        raise StudioError("The certificate or its key is missing.", "Give the paths of both files.")
    server = server.strip() if way == "given" else ""
    if server and not server.startswith(("http://", "https://")):
        raise StudioError("The time-stamp server has no address of the web.", "Write it as https://..., or leave it empty.")
    paths = dict(certificate=certificate.strip(), key=key.strip()) if way == "given" else dict(certificate="", key="")
    enable_signing(
        provenance_policy().replace(artist=artist if way == "own" else provenance_policy().artist, timestamp_url=server, **paths)
    )
    return [gr.update(visible=False), True, _shown(_state_html(provenance_policy())), _shown(_trouble_html())]


def _answer(file: str | None) -> str:
    return tale_html(inspect_file(Path(file))) if file else ""


def tale_html(tale: ProvenanceReport) -> str:
    """What a file tells, to be shown."""
    verdict = "Made by AI, it says" if tale.by_ai else "It does not say that AI made it"
    rows = "".join(f"<dt>{html.escape(heading)}</dt><dd>{html.escape(sentence)}</dd>" for heading, sentence in tale.lines())
    return f'<div class="gs-tale"><b>{verdict}</b><span>{html.escape(tale.name)}</span><dl>{rows}</dl></div>'


def _shown(text: str) -> dict:
    return gr.update(value=text, visible=bool(text))


def _state_html(now: ProvenancePolicy) -> str:
    if not now.credentials:
        return ""
    if now.certificate:
        return note(f"Files are signed with the certificate in <code>{html.escape(now.certificate)}</code>.")
    return note(f"Files are signed as <b>{html.escape(now.artist)}</b>.")


def _trouble_html() -> str:
    told = policy_problem()
    return note(f"<b>{html.escape(told)}</b> A choice made here writes them anew.") if told else ""
