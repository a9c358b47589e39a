"""`ftops chat`: a conversation with a model, or with several in parallel."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from ftops.cli.command import command
from ftops.cli.complete import note_refused_parameters, response_document
from ftops.cli.options import MaxTokens, ModelRefs, ProviderOptions, SamplingOptions
from ftops.cli.output import Mode, Output
from ftops.cli.target_model import TargetModel, open_target_models
from ftops.errors import FtopsError
from ftops.records import Chat, Json, Message, Prompt, Sampling

_HELP = "/quit ends, /reset starts over, /system TEXT sets the system message"


@dataclass(frozen=True, slots=True)
class ChatSamplingOptions(SamplingOptions):
    """Sampling options with a default for longer responses."""

    max_tokens: MaxTokens = 512


@command(
    "chat",
    examples=[
        "ftops chat -m household-faq",
        "ftops chat -m household-faq -m gpt-4.1 --provider openai",
        "ftops chat -m household-faq < questions.txt",
    ],
)
def chat(
    out: Output, model: ModelRefs, *, sampling: ChatSamplingOptions, provider: ProviderOptions
) -> None:
    """Chat with a model, line by line.

    Several models respond to each line in turn. A chat model gets the whole conversation; a
    completion model gets each line alone, prepared like its training rows. Commands: /quit, /reset
    and /system TEXT. Without a terminal, lines are read from standard input.
    """
    with open_target_models(model, provider, raw=sampling.raw) as targets:
        models = [
            _ChatModel(target, target.create_sampling(sampling), target.find_system())
            for target in targets
        ]
        _Conversation(out, models).run()


@dataclass(slots=True)
class _ChatModel:
    """A model and its messages in the conversation."""

    target: TargetModel
    sampling: Sampling
    system: str | None
    messages: list[Message] = field(default_factory=list)
    has_noted: bool = False  # that it refuses parameters

    def stream(self, text: str) -> Iterator[str]:
        """Stream the response; it is added to the conversation when it is complete."""
        target = self.target
        prompt: Prompt
        if target.takes_chats:
            turn = target.format_turn(text)
            system = (Message("system", self.system),) if self.system else ()
            prompt = Chat((*system, *self.messages, turn))
        else:
            prompt = target.format_prompt(text)
        response = ""
        for piece in target.source.stream(target.name, prompt, self.sampling):
            response += piece
            yield piece
        if target.takes_chats:
            self.messages += [turn, Message("assistant", response)]


class _Conversation:
    """The conversation; the JSON mode prints it as one document at the end."""

    def __init__(self, out: Output, models: list[_ChatModel]) -> None:
        self._out = out
        self._models = models
        self._turns: list[Json] = []
        self._is_live = sys.stdin.isatty()

    def run(self) -> None:
        self._note_completion_models()
        if self._is_live:
            self._out.info(_HELP)
        for line in self._read_lines():
            if line.startswith("/"):
                if not self._handle_command(line):
                    break
            elif line.strip():
                self._respond(line)
        if self._out.mode is Mode.JSON:
            self._out.finish(self._turns, essential=(), human=tuple)

    def _note_completion_models(self) -> None:
        for model in self._models:
            if not model.target.takes_chats:
                self._out.info(
                    f"{model.target.name} is a completion model: each line is sent alone, without"
                    " the conversation before it"
                )

    def _read_lines(self) -> Iterator[str]:
        if not self._is_live:
            for line in sys.stdin.buffer:
                yield line.decode("utf-8", "replace").rstrip("\r\n")
            return
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - makes the arrow keys work in `input`
        while True:
            try:
                yield input("> ")
            except EOFError:
                self._out.info("")
                return

    def _handle_command(self, line: str) -> bool:
        """Handle a command; returns whether the conversation continues."""
        word, _, rest = line.partition(" ")
        if word in ("/quit", "/exit"):
            return False
        if word == "/reset":
            for model in self._models:
                model.messages.clear()
            self._out.info("started a new conversation")
        elif word == "/system":
            for model in self._models:
                model.system = rest.strip() or None
                model.messages.clear()
            self._out.info("started a new conversation with that system message")
        else:
            self._out.info(f"unknown command {word}: {_HELP}")
        return True

    def _respond(self, text: str) -> None:
        responses: list[Json] = []
        self._turns.append({"text": text, "responses": responses})
        for number, model in enumerate(self._models):
            if len(self._models) > 1 and self._out.mode is Mode.HUMAN:
                self._out.write("\n" * bool(number) + f"{model.target.name}:\n")
            self._show_response(model, text, responses)

    def _show_response(self, model: _ChatModel, text: str, responses: list[Json]) -> None:
        """Print the response of one model as it arrives, and add it to `responses`.

        At a terminal an error does not end the conversation.
        """
        labels = model.target.get_label_map()
        is_shown = self._out.mode is not Mode.JSON
        response = ""
        try:
            for piece in model.stream(text):
                response += piece
                if is_shown and not labels:
                    self._out.write(piece)
        except FtopsError as error:
            part = response_document(model.target, response or None) | {"error": error.message}
            if is_shown and response:
                self._out.write(f"{response}\n" if labels else "\n")
            responses.append(part)
            if not self._is_live:
                self._out.about = {"turns": self._turns}
                raise
            self._out.error(error.message, error.hint)
            return
        except KeyboardInterrupt:
            if not self._is_live:
                raise
            self._out.info("(interrupted; not part of the conversation)")
            responses.append({"model": model.target.name, "text": None})
            return
        label = labels.get(response.strip())
        if is_shown:
            shown = "" if not labels else response if label is None else label
            self._out.write(f"{shown}\n")
        if not model.has_noted and model.target.source.get_refused_parameters(model.target.name):
            model.has_noted = True
            note_refused_parameters(self._out, model.target)
        document = response_document(model.target, response)
        responses.append(document | {"label": label} if labels else document)
