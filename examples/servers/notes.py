"""An MCP server as there are thousands, which knows nothing of environments: notes to keep and to search."""

from mcp.server.mcpserver import MCPServer

server = MCPServer("notes")
notes = {
    "monday": "Ada: the wheel of the third cart is broken.",
    "tuesday": "Grace: the third cart is repaired. The bill is 40 crowns.",
    "wednesday": "Ada: paid half of the bill for the cart.",
}


@server.tool()
def search(word: str) -> list[str]:
    """Return the titles of the notes that hold a word."""
    return [title for title, text in notes.items() if word.lower() in text.lower()]


@server.tool()
def read(title: str) -> str:
    """Return a note."""
    if title not in notes:
        raise ValueError(f"there is no note {title!r}")
    return notes[title]


@server.tool()
def write(title: str, text: str) -> str:
    """Keep a note."""
    notes[title] = text
    return f"kept as {title}"


if __name__ == "__main__":
    server.run()
