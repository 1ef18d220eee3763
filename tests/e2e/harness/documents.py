"""The documents that most tests search: invented, so that no model knows them, and each fact stands
in one place only."""

from pathlib import Path

GUIDE = {
    "kestrel.md": """# Kestrel pump

The Kestrel pump moves cooling water through the reactor hall.

## Pressure

The Kestrel pump runs at a pressure of 42 bar. Above 47 bar its relief valve opens by itself.

## Maintenance

The Kestrel pump must be greased every 300 hours with lithium grease. The grease nipple sits behind
the blue cover. A pump that was not greased squeals.
""",
    "osprey.md": """# Osprey valve

The Osprey valve separates the two cooling circuits.

## Closing time

The Osprey valve closes within 9 seconds when the power fails. A spring does that without any power.

## Colours

A green lamp means that the Osprey valve is open, and an amber lamp that it is moving.
""",
    "heron.txt": """Heron gauge

The Heron gauge shows the level of the storage tank in centimetres. It is read twice a day.

The Heron gauge is calibrated in March by the harbour office, which keeps a brass reference rod.
""",
    "glossary.html": """<!doctype html><html><head><title>Glossary of the plant</title>
<script>var secret = "scripts are no text";</script></head><body><h1>Glossary</h1>
<h2>Bypass</h2><p>The bypass is a pipe of copper that leads around the Osprey valve.</p>
<h2>Sump</h2><p>The sump collects leaking water; its float switch starts the bilge motor.</p>
</body></html>
""",
}

# an attack in every field that a page might show; JSONL keeps it as it is
ATTACK = "<script>window.pwned={0}</script><img src=x onerror=window.pwned={0}>"
HOSTILE = {
    "id": "falcon" + ATTACK.format(1),
    "title": "Falcon " + ATTACK.format(2),
    "text": f"The Falcon siren sounds at noon. {ATTACK.format(3)} <svg onload=window.pwned=4></svg> "
    "[click](javascript:window.pwned=5) </textarea></script><!-- The Falcon siren is loud.",
    "url": "javascript:window.pwned=6",
    "source": "javascript:window.pwned=7",
    ATTACK.format(8): ATTACK.format(9),
}

COOKING = {
    "bread.md": """# Rye bread

Rye bread needs a sourdough that has rested for 16 hours. Bake it at 240 degrees.
""",
    "soup.md": """# Beet soup

Beet soup is thickened with potatoes. A spoon of vinegar keeps its colour.
""",
}


def write(folder, documents):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in documents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder
