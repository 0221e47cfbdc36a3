"""``python -m infra.grafana`` writes the dashboards as JSON, which Grafana loads from files or by import."""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from infra.grafana.rollout_dashboard import rollout_dashboard
from infra.grafana.worker_dashboard import worker_dashboard

FOLDER = Path(__file__).parent


def generated() -> dict[str, str]:
    """The text of each file, by its name."""
    boards = {"coalmine-rollout.json": rollout_dashboard(), "coalmine-worker.json": worker_dashboard()}
    return {
        name: json.dumps(board.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
        for name, board in boards.items()
    }


def main() -> None:
    """Write them all."""
    for name, text in generated().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(FOLDER / name)


if __name__ == "__main__":
    main()
