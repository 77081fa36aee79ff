"""Parts that figures of several families are made of."""


def line(name: str, x, y, colour: str, dash: str = "solid", width: float = 2, hover: str = "", **more) -> dict:
    """A line, or what else `more` makes of it; without a text to hover over it says nothing."""
    looks = {"color": colour, "dash": dash, "width": width}
    told = {"hovertemplate": f"{hover}<extra>{name}</extra>"} if hover else {"hoverinfo": "skip"}
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "line": looks} | told | more
