"""What points to the cause, as a section of the page."""

from __future__ import annotations

from coalmine.records import Diagnosis, LabelRanking
from coalmine.report import facts, words
from coalmine.report.markup import Markup, element, join, link, table
from coalmine.report.story import Story


def diagnosis_section(story: Story) -> Markup:
    """Every diagnosis, the newest first."""
    heading = element("h2", "Diagnosis", id="diagnosis-heading")
    if not story.diagnoses:
        none = "None was made: nothing was held or rolled back after a look, or the ledger does not have it."
        return element("section", heading, element("p", none), aria_labelledby="diagnosis-heading")
    parts = [_diagnosis(one) for one in reversed(story.diagnoses)]
    return element("section", heading, *parts, aria_labelledby="diagnosis-heading")


def _diagnosis(one: Diagnosis) -> Markup:
    looked = f", looking from {words.moment(one.window.start)} to {words.moment(one.window.end)}" if one.window else ""
    parts = [
        element("h3", f"{'Rolled back' if one.decision == 'roll_back' else 'Held'} at {words.moment(one.at)}"),
        element("p", element("strong", one.sentence)),
        element("p", f"{one.reason}{looked}", class_="soft"),
    ]
    parts += [_ranking(ranking) for ranking in one.rankings]
    if one.exemplars:
        parts.append(element("h4", "Exemplar traces of the canary"))
        rows = [
            [
                link(found.link, found.trace_id) if found.link else element("code", found.trace_id),
                words.moment(found.at),
                f"{found.value:.4g}",
                ", ".join(f"{name}={value}" for name, value in sorted(found.labels.items())),
            ]
            for found in one.exemplars
        ]
        parts.append(table("Requests that were remembered", ["trace", "at (UTC)", "value:", "labels"], rows))
    if one.links:
        parts.append(element("h4", "Where to look further"))
        parts.append(element("ul", *(element("li", link(found.url, found.name)) for found in one.links)))
    parts.append(element("h4", "What else changed"))
    if one.changes:
        rows = [[words.moment(found.at), found.rollout_id, found.what] for found in one.changes]
        parts.append(table("Other rollouts in this environment", ["at (UTC)", "rollout", "what"], rows))
    else:
        parts.append(element("p", "The ledger holds nothing of other rollouts in this environment at that time."))
    if one.notes:
        parts.append(element("h4", "What could not be had"))
        parts.append(element("ul", *(element("li", note) for note in one.notes)))
    return join(parts)


def _ranking(ranking: LabelRanking) -> Markup:
    folded = f"; {ranking.folded} more values are folded" if ranking.folded else ""
    mark = "; one stands out" if ranking.stands_out else ""
    beyond = facts.significant(ranking)
    rows = [
        [
            value.value or "(none)",
            words.percent(value.share),
            words.percent(value.traffic) if value.traffic is not None else "–",
            *facts.arms_of(ranking, value),
            f"{value.excess:+,.4g}",
            words.chance(value.adjusted),
        ]
        for value in ranking.values
    ]
    return table(
        f"{ranking.metric} by {ranking.label}{mark}{folded}{'; ' * bool(beyond)}{beyond}",
        [ranking.label, "share of the excess:", "share of traffic:", "canary:", "baseline:", "excess:", "p (Holm):"],
        rows,
    )
