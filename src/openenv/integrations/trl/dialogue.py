"""How a conversation with an environment is put in tokens, once and for ever.

The prompt is rendered once, and after that only what is new: what a chat template puts behind an answer of the
model is found by rendering a conversation in which it answers with a mark, and looking what follows that. So the
tokens that a model made are never rendered again, and the template may treat earlier turns as it likes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openenv.errors import ConfigurationError
from openenv.mcp.types import Tool

__all__ = ["Dialogue", "Prompt", "spoken"]

Prompt = str | list[dict[str, Any]]
"""A text to be continued, or a conversation."""

_MARK = "@the-answer@"
_ASKED = {"role": "user", "content": "-"}


class Dialogue:
    """The words of an environment in the tokens of a model, and the other way about.

    Args:
        processing_class: The tokenizer, or a processor that has one.
        template: Chat template in place of the tokenizer's own.
        options: Further arguments of the template.
    """

    def __init__(
        self, processing_class: Any, template: str | None = None, options: Mapping[str, Any] | None = None
    ) -> None:
        self.processing_class = processing_class
        self.tokenizer = getattr(processing_class, "tokenizer", processing_class)
        self._template = template
        self._options = dict(options or {})

    def opening(self, prompt: Prompt, said: str, tools: Sequence[Tool] = ()) -> list[int]:
        """Return the tokens of a prompt, with what the environment said first at its end.

        Raises:
            ConfigurationError: There are tools, and the prompt is no conversation.
        """
        if isinstance(prompt, str):
            if tools:
                raise ConfigurationError(
                    "An environment with tools needs prompts that are conversations: "
                    '[{"role": "user", "content": ...}]'
                )
            return self._tokens(prompt + (f"\n{said}\n" if said else ""), special=True)
        shown = [tool.to_openai() for tool in tools] or None
        return self._tokens(self._rendered(_with(prompt, said), tools=shown))

    def reply(self, prompt: Prompt, answer: Sequence[int], messages: Sequence[dict[str, Any]]) -> list[int]:
        """Return the tokens between an answer of the model and its next one.

        Args:
            prompt: What the dialogue began with; its kind is that of the reply.
            answer: The tokens of the answer. If it ends its turn itself, the reply does not end it again.
            messages: What the environment says to it.
        """
        if isinstance(prompt, str):
            return self._tokens("\n" + "\n".join(message["content"] for message in messages) + "\n")
        tokens = self._tokens(self._behind(messages))
        if tokens and answer and tokens[0] == answer[-1]:
            return tokens[1:]
        return tokens

    def words(self, answer: Sequence[int]) -> str:
        """Return what an answer says; see `spoken`."""
        return spoken(self.tokenizer.decode(answer, skip_special_tokens=True))

    def calls(self, answer: Sequence[int], before: Sequence[int], tools: Sequence[Tool]) -> list[dict[str, Any]]:
        """Return the calls of tools in an answer: dictionaries with `name` and `arguments`."""
        from trl.chat_template_utils import add_response_schema, parse_response

        if not any(getattr(self.tokenizer, each, None) for each in ("response_template", "response_schema")):
            add_response_schema(self.processing_class)
        said = parse_response(self.tokenizer, list(answer), list(before), [tool.to_openai() for tool in tools])
        calls = [call.get("function", call) for call in said.get("tool_calls") or ()]
        return [call for call in calls if isinstance(call.get("name"), str)]

    def _behind(self, messages: Sequence[dict[str, Any]]) -> str:
        """Return what the template puts behind an answer that is followed by messages, its end included."""
        answer: dict[str, Any] = {"role": "assistant", "content": _MARK}
        if messages[0]["role"] == "tool":  # a template may refuse what no call comes before
            call = {"name": messages[0]["name"], "arguments": {"-": _MARK}}
            answer = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": call}]}
        _, mark, rest = self._rendered([_ASKED, answer, *messages]).rpartition(_MARK)
        if not mark:
            raise ConfigurationError("The chat template of this tokenizer leaves out what the model answered")
        if "tool_calls" not in answer:
            return rest
        _, end, said = rest.partition(self.tokenizer.eos_token)  # before it is what closes the call
        if not end:
            raise ConfigurationError("In the chat template of this tokenizer, calls of tools have no end")
        return end + said

    def _rendered(self, conversation: Prompt, tools: Any = None) -> str:
        text: str = self.processing_class.apply_chat_template(
            conversation,
            tools=tools,
            chat_template=self._template,
            add_generation_prompt=True,
            tokenize=False,
            **self._options,
        )
        return text

    def _tokens(self, text: str, *, special: bool = False) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=special)["input_ids"])


def spoken(answer: str) -> str:
    """Return an answer without what the model thought before it; it is empty if the thought has no end."""
    return answer.rpartition("</think>")[2].partition("<think>")[0].strip()


def _with(prompt: list[dict[str, Any]], said: str) -> list[dict[str, Any]]:
    """Return a conversation whose last message has a text at its end."""
    if not said:
        return prompt
    *before, last = prompt
    content: Any = last["content"]
    if isinstance(content, str):
        content += f"\n{said}" if content else said
    else:
        content = [*content, {"type": "text", "text": said}]
    return [*before, {**last, "content": content}]
