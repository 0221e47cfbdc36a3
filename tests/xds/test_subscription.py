"""What is sent, and what counts as an answer to it."""

from __future__ import annotations

from coalmine.xds.subscription import UNSAID, Served, Subscription


def served(version: str, name: str = "shop") -> Served:
    return Served(name, version, f"{name} {version}".encode())


def sent(subscription: Subscription, *routes: Served) -> tuple[str, Served]:
    response = subscription.next({one.name: one for one in routes})
    assert response is not None
    return response.nonce, response.served


def asking(*names: str) -> Subscription:
    subscription = Subscription()
    subscription.heard(names, "", "", None)
    return subscription


def test_it_is_sent_what_it_asks_for_and_nothing_else() -> None:
    subscription = asking("shop")
    assert subscription.next({"store": served("1", "store")}) is None
    nonce, one = sent(subscription, served("1"), served("1", "store"))
    assert one.name == "shop"
    subscription.heard(["shop"], "1", nonce, None)
    assert subscription.next({"shop": served("1"), "store": served("1", "store")}) is None


def test_what_it_took_is_what_it_acknowledged() -> None:
    subscription = asking("shop")
    nonce, one = sent(subscription, served("1"))
    assert subscription.verdict(one) == "open"
    subscription.heard(["shop"], "1", nonce, None)
    assert subscription.verdict(one) == "taken"
    assert subscription.has == {"shop": one}


def test_one_answer_at_a_time_so_that_each_word_is_of_one_route() -> None:
    subscription = asking("shop", "store")
    routes = {"shop": served("1"), "store": served("2", "store")}
    first = subscription.next(routes)
    assert first is not None
    assert subscription.next(routes) is None
    subscription.heard(["shop", "store"], "", first.nonce, "no such cluster")
    second = subscription.next(routes)
    assert second is not None
    subscription.heard(["shop", "store"], "2", second.nonce, None)
    assert subscription.refused == {"shop": (routes["shop"], "no such cluster")}
    assert subscription.has == {"store": routes["store"]}


def test_what_it_refused_is_not_sent_again_until_it_changes() -> None:
    subscription = asking("shop")
    nonce, bad = sent(subscription, served("2"))
    subscription.heard(["shop"], "1", nonce, "")
    assert subscription.refused == {"shop": (bad, UNSAID)}
    assert subscription.next({"shop": bad}) is None
    nonce, good = sent(subscription, served("3"))
    subscription.heard(["shop"], "3", nonce, None)
    assert subscription.refused == {}
    assert subscription.verdict(good) == "taken"


def test_the_same_version_with_other_content_is_another_route() -> None:
    subscription = asking("shop")
    nonce, one = sent(subscription, served("0"))
    subscription.heard(["shop"], "0", nonce, None)
    other = Served("shop", "0", b"deployed anew")
    assert subscription.verdict(one) == "taken"
    assert subscription.verdict(other) == "open"
    assert sent(subscription, other)[1] == other


def test_words_on_an_older_answer_are_not_words_on_the_last() -> None:
    subscription = asking("shop")
    old, _ = sent(subscription, served("1"))
    subscription.heard(["shop"], "1", old, None)
    _, new = sent(subscription, served("2"))
    subscription.heard(["shop"], "", old, "late")
    assert subscription.verdict(new) == "open"


def test_asking_for_more_after_a_refusal_is_no_acknowledgement() -> None:
    """Envoy repeats the refused answer's nonce then, and says nothing of the error."""
    subscription = asking("shop")
    nonce, bad = sent(subscription, served("2"))
    subscription.heard(["shop"], "1", nonce, "no")
    subscription.heard(["shop", "store"], "1", nonce, None)
    assert subscription.verdict(bad) == "refused"
    assert sent(subscription, bad, served("1", "store"))[1].name == "store"


def test_asking_for_more_before_it_has_answered_leaves_the_answer_open() -> None:
    subscription = asking("shop")
    nonce, one = sent(subscription, served("2"))
    subscription.heard(["shop", "store"], "", "", None)
    subscription.heard(["shop", "store"], "1", nonce, None)
    assert subscription.verdict(one) == "open"
    subscription.heard(["shop", "store"], "2", nonce, None)
    assert subscription.verdict(one) == "taken"


def test_what_it_no_longer_asks_for_is_forgotten_and_sent_anew() -> None:
    subscription = asking("shop")
    nonce, one = sent(subscription, served("1"))
    subscription.heard(["shop"], "1", nonce, None)
    subscription.heard([], "1", nonce, None)
    assert subscription.has == {}
    subscription.heard(["shop"], "1", nonce, None)
    assert sent(subscription, one)[1] == one
