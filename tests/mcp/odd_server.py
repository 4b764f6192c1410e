"""An MCP server written by hand: it starts at once, and can be as odd as a test needs.

Its oddities are its arguments, such as `mute` or `noisy`; tools are told apart by their names.
"""

import json
import os
import subprocess
import sys
import time

ODD = set(sys.argv[1:])
PLAIN = {"type": "object", "properties": {}}
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
SIZE = {"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]}

calls = 0
tools = {
    "say": TEXT,
    "count": PLAIN,
    "fail": PLAIN,
    "refuse": PLAIN,
    "hang": PLAIN,
    "die": PLAIN,
    "big": SIZE,
    "picture": PLAIN,
    "grow": PLAIN,
    "pid": PLAIN,
    "variable": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    "child": PLAIN,
    "work": PLAIN,
    "nonsense": PLAIN,
    "reset": {"type": "object", "properties": {"seed": {"type": "integer"}, "episode_id": {"type": "string"}}},
}
cancelled = []


def send(message):
    if "noisy" in ODD:
        sys.stdout.write("loading the model...\nprogress 10 %")
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def call(params):
    """Return the result of a tool, or raise what is to be a JSON-RPC error."""
    global calls
    calls += 1
    name, arguments = params["name"], params.get("arguments") or {}
    if name == "say":
        if not isinstance(arguments.get("text"), str):
            return {**_text("text: expected a string"), "isError": True}
        return _text(arguments["text"])
    if name == "count":
        return {"content": [], "structuredContent": {"calls": calls}}
    if name == "fail":
        return {**_text("it went wrong"), "isError": True}
    if name == "refuse":
        raise ValueError("not today")
    if name == "die":
        print("out of paper", file=sys.stderr, flush=True)
        os._exit(3)
    if name == "big":
        return _text("x" * arguments["size"])
    if name == "picture":
        return {
            "content": [
                {"type": "text", "text": "a dot"},
                {"type": "image", "data": "aGk=", "mimeType": "image/png"},
            ]
        }
    if name == "grow":
        tools["new"] = PLAIN
        send({"method": "notifications/tools/list_changed"})
        return _text("grown")
    if name == "pid":
        return _text(str(os.getpid()))
    if name == "variable":
        return _text(os.environ.get(arguments["name"], "not there"))
    if name == "child":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        return _text(str(child.pid))
    if name == "work":
        token = params["_meta"]["progressToken"]
        send({"method": "notifications/progress", "params": {"progressToken": token, "progress": 1, "total": 2}})
        return _text("done")
    if name == "nonsense":
        return {"content": "this is no list"}
    if name == "reset":
        calls = 0
        return _text(json.dumps(arguments))
    return _text(json.dumps(cancelled) if name == "new" else "?")


def _text(text):
    return {"content": [{"type": "text", "text": text}]}


def answer(message):
    method, params = message["method"], message.get("params") or {}
    if method == "initialize":
        info = {"name": "odd", "version": "1"}
        capabilities = {"tools": {"listChanged": True}}
        return {"protocolVersion": params["protocolVersion"], "capabilities": capabilities, "serverInfo": info}
    if method == "tools/list":
        return {"tools": [{"name": name, "inputSchema": schema} for name, schema in tools.items()]}
    return call(params)


def main():
    if "mute" in ODD:
        print("thinking", file=sys.stderr, flush=True)
        time.sleep(600)
    if "keyless" in ODD and "API_KEY" not in os.environ:
        sys.exit("API_KEY is not set")
    for line in sys.stdin:
        message = json.loads(line)
        if message["method"] == "notifications/cancelled":
            cancelled.append(message["params"]["requestId"])
            tools.setdefault("new", PLAIN)
            send({"method": "notifications/tools/list_changed"})
        if "id" not in message or (message.get("params") or {}).get("name") == "hang":
            continue
        try:
            send({"id": message["id"], "result": answer(message)})
        except ValueError as error:
            send({"id": message["id"], "error": {"code": -32000, "message": str(error)}})
    if "stubborn" in ODD:
        time.sleep(600)


main()
