"""The client of chat endpoints, against a double that answers properly and improperly."""

import json

import pytest
from tests.doubles.chat_endpoint import MODEL, Call, ChatEndpointDouble, Mishap, completion

from openenv.errors import ConfigurationError, EndpointError
from openenv.llm import ChatEndpoint, Patience
from openenv.llm.chat import read_reply

HELLO = [{"role": "user", "content": "Hello"}]
QUICK = Patience(first_pause_s=0.001, longest_pause_s=0.01, timeout_s=20.0)


@pytest.fixture
def endpoint(host):
    """Start a double, and return it with its address."""
    made = []

    def start(say, **options):
        double = ChatEndpointDouble(say, **options)
        made.append(host.run(double))
        return double, made[-1].url

    yield start
    for server in made:
        server.stop(wait=False)


def in_turn(*said):
    """Say one thing after the other, the last for ever."""
    left = list(said)
    return lambda body: left.pop(0) if len(left) > 1 else left[0]


async def complete(url, **options):
    async with ChatEndpoint(url, patience=options.pop("patience", QUICK), **options) as model:
        return await model.complete(HELLO)


async def refused(url, **options):
    async with ChatEndpoint(url, patience=options.pop("patience", QUICK), **options) as model:
        with pytest.raises(EndpointError) as told:
            await model.complete(HELLO)
    return told.value, model


async def test_a_model_is_asked_by_the_name_that_its_endpoint_lists(endpoint):
    double, url = endpoint(lambda body: "Hi")
    reply = await complete(url, sampling={"temperature": 0.5}, api_key="k3y")
    assert (reply.text, reply.calls, reply.prompt_tokens, reply.completion_tokens) == ("Hi", (), 10, 2)
    assert double.requests == [{"model": MODEL, "messages": HELLO, "stream": False, "temperature": 0.5}]
    assert double.keys == ["Bearer k3y"]


async def test_calls_of_tools_come_with_their_arguments_and_what_is_wrong_with_them(endpoint):
    calls = [Call("move", {"to": 1}), Call("move", "{to: 1}"), Call("move", "[1]")]
    _, url = endpoint(lambda body: calls)
    reply = await complete(url)
    assert [(call.arguments, call.problem is None) for call in reply.calls] == [
        ({"to": 1}, True),
        ({}, False),
        ({}, False),
    ]
    said = reply.as_message()["tool_calls"]
    assert [json.loads(call["function"]["arguments"]) for call in said] == [{"to": 1}, {}, {}]


@pytest.mark.parametrize("path", ["", "/v1", "/v1/", "/v1/chat/completions"])
async def test_an_address_may_be_written_in_several_ways(endpoint, path):
    _, url = endpoint(lambda body: "Hi")
    assert (await complete(url.removeprefix("http://") + path)).text == "Hi"


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://x:port", ""])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ConfigurationError, match="no address"):
        ChatEndpoint(url)


async def test_several_models_have_to_be_told_apart(endpoint):
    _, url = endpoint(lambda body: "Hi", models=("a", "b"))
    error, _ = await refused(url)
    assert "a, b" in error.message
    assert (await complete(url, model="b")).text == "Hi"


@pytest.mark.parametrize(
    ("mishap", "code"),
    [
        (Mishap(500, b"oops"), "ENDPOINT_FAILED"),
        (Mishap(503, b'{"error": "loading"}'), "ENDPOINT_FAILED"),
        (Mishap(429, b"{}", {"retry-after": "0"}), "ENDPOINT_BUSY"),
        (Mishap(200, b"<html>"), "ENDPOINT_NONSENSE"),
        (Mishap(200, b'{"choices": []}'), "ENDPOINT_NONSENSE"),
        (Mishap(200, b'{"choices": [{"message": {"tool_calls": [{}]}}]}'), "ENDPOINT_NONSENSE"),
        (Mishap(200, b"[" * 100_000), "ENDPOINT_NONSENSE"),
        (Mishap(204), "ENDPOINT_NONSENSE"),
    ],
)
async def test_what_may_pass_is_tried_again(endpoint, mishap, code):
    double, url = endpoint(in_turn(mishap, mishap, "Hi"))
    async with ChatEndpoint(url, patience=QUICK) as model:
        assert (await model.complete(HELLO)).text == "Hi"
    assert (len(double.requests), dict(model.troubles)) == (3, {code: 2})


@pytest.mark.parametrize("mishap", [Mishap(500, b"oops"), Mishap(200, b"<html>"), Mishap(302)])
async def test_what_does_not_pass_is_given_up_after_some_attempts(endpoint, mishap):
    double, url = endpoint(lambda body: mishap)
    await refused(url)
    assert len(double.requests) == QUICK.attempts


@pytest.mark.parametrize(
    ("mishap", "code"),
    [
        (Mishap(401, b'{"error": {"message": "Incorrect API key: k3y"}}'), "ENDPOINT_REFUSED"),
        (Mishap(404, b'{"detail": "no such model"}'), "ENDPOINT_REFUSED"),
        (Mishap(400, b'{"error": {"message": "maximum context length is 8 tokens"}}'), "CONTEXT_FULL"),
    ],
)
async def test_what_will_not_pass_is_told_at_once_without_the_key(endpoint, mishap, code):
    double, url = endpoint(lambda body: mishap)
    error, _ = await refused(url, api_key="k3y")
    assert (error.code, error.status, len(double.requests)) == (code, mishap.status, 1)
    assert "k3y" not in error.message
    assert "HTTP" in error.message


async def test_a_rate_limit_is_waited_for_as_long_as_is_said_and_not_for_ever(endpoint):
    busy = Mishap(429, b"{}", {"retry-after": "0.01"})
    double, url = endpoint(in_turn(*[busy] * 9, "Hi"))
    assert (await complete(url)).text == "Hi"
    assert len(double.requests) == 10
    _, url = endpoint(lambda body: busy)
    error, _ = await refused(url, patience=Patience(rate_limit_s=0.05))
    assert (error.code, error.status) == ("ENDPOINT_BUSY", 429)


async def test_an_endpoint_that_is_slow_is_told_apart_from_one_that_is_down(endpoint, host):
    _, url = endpoint(lambda body: Mishap(after_s=30.0))
    error, _ = await refused(url, patience=Patience(timeout_s=0.1, attempts=2, first_pause_s=0.001))
    assert (error.code, error.retryable) == ("ENDPOINT_SLOW", True)
    gone = host.run(ChatEndpointDouble(lambda body: "Hi"))
    gone.stop()
    error, model = await refused(gone.url, model="m")
    assert error.code == "ENDPOINT_DOWN"
    assert "cannot be reached" in error.message
    assert model.troubles["ENDPOINT_DOWN"] == QUICK.attempts


async def test_an_answer_that_comes_in_drops_is_not_waited_for_longer_than_any_other(endpoint):
    whole = json.dumps(completion("Hi")).encode()
    _, url = endpoint(lambda body: Mishap(body=whole, between_s=0.02))
    error, _ = await refused(url, patience=Patience(timeout_s=0.2, attempts=1))
    assert error.code == "ENDPOINT_SLOW"
    assert "within 0.2 s" in error.message


async def test_an_answer_without_end_is_not_read_to_its_end(endpoint, monkeypatch):
    monkeypatch.setattr("openenv.llm.endpoint._LARGEST", 1 << 20)
    _, url = endpoint(in_turn("x" * (1 << 20), "Hi"))
    async with ChatEndpoint(url, patience=QUICK) as model:
        assert (await model.complete(HELLO)).text == "Hi"
    assert model.troubles == {"ENDPOINT_NONSENSE": 1}


async def test_half_an_emoji_can_be_said_again(endpoint):
    half = "\ud83d"
    double, url = endpoint(in_turn(f"hi {half}", [Call(f"say{half}", f'{{"{half}": "\U0001f600{half}"}}')]))
    async with ChatEndpoint(url, patience=QUICK) as model:
        said = await model.complete(HELLO)
        called = await model.complete([*HELLO, said.as_message()])
        await model.complete([*HELLO, called.as_message()])
    assert said.text == "hi \ufffd"
    (call,) = called.calls
    assert (call.name, call.arguments) == ("say\ufffd", {"\ufffd": "\U0001f600\ufffd"})
    assert [body["messages"][-1] for body in double.requests[1:]] == [said.as_message(), called.as_message()]


async def test_half_an_emoji_in_an_error_can_be_shown(endpoint):
    _, url = endpoint(lambda body: Mishap(400, b'{"error": {"message": "what is \\ud83d?"}}'))
    error, _ = await refused(url)
    assert error.message.endswith("what is \ufffd?")


async def test_one_that_was_down_is_not_waited_for_by_every_request_in_turn(host):
    gone = host.run(ChatEndpointDouble(lambda body: "Hi"))
    gone.stop()
    async with ChatEndpoint(gone.url, "m", patience=QUICK) as model:
        for _ in range(3):
            with pytest.raises(EndpointError):
                await model.complete(HELLO)
    assert model.troubles["ENDPOINT_DOWN"] == QUICK.attempts + 2


def test_content_may_come_in_parts_or_not_at_all():
    def said(content):
        return read_reply({"choices": [{"message": {"content": content}, "finish_reason": "length"}]})

    assert said([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, {"type": "image"}]).text == "ab"
    assert (said(None).text, said(None).cut_off) == ("", True)
    with pytest.raises(ValueError, match="content"):
        said(3)


def test_arguments_may_come_as_an_object_and_ids_not_at_all():
    def called(function):
        return read_reply({"choices": [{"message": {"tool_calls": [{"function": function}]}}]}).calls[0]

    call = called({"name": "say", "arguments": {"text": "\ud83d"}})
    assert (call.id, call.arguments) == ("call_0", {"text": "\ufffd"})
    assert called({"name": "say", "arguments": "[" * 100_000}).problem
