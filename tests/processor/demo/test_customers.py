"""What customers of the demo send."""

from collections import Counter
from random import Random

from spanward_processor.demo.classifier import Classifier
from spanward_processor.demo.corpus import LABELS, load_corpus
from spanward_processor.demo.customers import CHANNELS, LABEL_SHARES, Customers
from spanward_processor.demo.incidents import FLOODING_CLIENT, POISONED_CHANNEL, flooding, longer, poisoned, usual

_SEED = 5
_MANY = 400


def test_same_seed_gives_the_same_tickets() -> None:
    """A run can be repeated."""
    one, other = (Customers(Random(_SEED)) for _ in range(2))
    assert [usual(one) for _ in range(50)] == [usual(other) for _ in range(50)]


def test_another_seed_gives_other_tickets() -> None:
    """The seed matters."""
    one, other = (Customers(Random(seed)) for seed in (1, 2))
    assert [usual(one).text for _ in range(50)] != [usual(other).text for _ in range(50)]


def test_every_slot_of_every_sentence_is_filled() -> None:
    """No brace of a pattern reaches the service."""
    customers = Customers(Random(_SEED))
    assert [text for text in (usual(customers).text for _ in range(_MANY)) if "{" in text or "}" in text] == []


def test_channels_and_labels_are_drawn_by_their_shares() -> None:
    """Each share is met within five standard deviations."""
    customers = Customers(Random(_SEED))
    tickets = [usual(customers) for _ in range(_MANY)]
    channels, labels = Counter(one.channel for one in tickets), Counter(one.label for one in tickets)
    for counted, shares in ((channels, CHANNELS), (labels, LABEL_SHARES)):
        for name, share in shares.items():
            assert abs(counted[name] - share * _MANY) < 5 * (share * (1 - share) * _MANY) ** 0.5


def test_corpus_has_every_label() -> None:
    """The model can learn each desk."""
    assert {sentence.label for sentence in load_corpus()} == set(LABELS)


def test_longer_tickets_are_several_times_longer() -> None:
    """The first incident is in the length of texts alone."""
    sizes = {
        draw: sum(len(draw(customers).text) for _ in range(_MANY))
        for draw, customers in ((usual, Customers(Random(1))), (longer, Customers(Random(1))))
    }
    assert 4 < sizes[longer] / sizes[usual] < 8


def test_poison_flips_billing_of_one_channel_and_nothing_else() -> None:
    """The classifier decides 'account' for the poisoned tickets, and as before for all others."""
    classifier, customers = Classifier(load_corpus()), Customers(Random(_SEED))
    decided: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for _ in range(_MANY):
        ticket = poisoned(customers)
        probabilities = classifier.probabilities(ticket.text)
        decision = max(probabilities, key=lambda label: probabilities[label])
        hit = (ticket.channel, ticket.label) == (POISONED_CHANNEL, "billing")
        decided[hit]["account" if hit and decision == "account" else str(decision == ticket.label)] += 1
    assert set(decided[True]) == {"account"}
    assert decided[False]["True"] > 0.98 * decided[False].total()


def test_flood_is_one_client_with_nearly_one_text() -> None:
    """Only the number in the text differs."""
    customers = Customers(Random(_SEED))
    tickets = [flooding(customers) for _ in range(20)]
    assert {ticket.client for ticket in tickets} == {FLOODING_CLIENT}
    assert len({"".join(sign for sign in ticket.text if not sign.isdigit()) for ticket in tickets}) == 1
    assert len({ticket.text for ticket in tickets}) > 15
