"""The trip switch: when refusals in a row stop a domain or the run."""

from __future__ import annotations

from pipeline.delivery.trip import Trip, TripSwitch


def test_three_policy_refusals_in_a_row_hold_their_domain() -> None:
    """The third in a row at one domain says so; the first two do not."""
    switch = TripSwitch()
    told = [switch.refused("a.example", policy=True) for _ in range(3)]
    assert told == [Trip.NONE, Trip.NONE, Trip.DOMAIN]


def test_refusals_of_other_domains_do_not_count_for_a_domain() -> None:
    """Each domain has a row of its own."""
    switch = TripSwitch()
    told = [switch.refused(f"{name}.example", policy=True) for name in "abababc"]
    assert told == [Trip.NONE] * 4 + [Trip.DOMAIN, Trip.DOMAIN, Trip.NONE]


def test_refusals_that_are_not_about_us_do_not_hold_a_domain() -> None:
    """Three unknown people at one domain are three unknown people."""
    switch = TripSwitch()
    assert [switch.refused("a.example", policy=False) for _ in range(5)] == [Trip.NONE] * 5


def test_an_accepted_letter_ends_the_row_of_its_domain() -> None:
    """Two refusals, an acceptance and two refusals hold nothing."""
    switch = TripSwitch()
    for _ in range(2):
        switch.refused("a.example", policy=True)
    switch.accepted("a.example")
    assert [switch.refused("a.example", policy=True) for _ in range(2)] == [Trip.NONE, Trip.NONE]


def test_an_accepted_letter_elsewhere_leaves_a_domains_row_as_it_is() -> None:
    """The third refusal at a domain counts although another domain took a letter meanwhile."""
    switch = TripSwitch()
    for _ in range(2):
        switch.refused("a.example", policy=True)
    switch.accepted("b.example")
    assert switch.refused("a.example", policy=True) is Trip.DOMAIN


def test_ten_refusals_in_a_row_stop_the_run_whatever_their_domain_and_kind() -> None:
    """The tenth stops it, and not the ninth."""
    switch = TripSwitch()
    told = [switch.refused(f"{number}.example", policy=number % 2 == 0) for number in range(10)]
    assert told == [Trip.NONE] * 9 + [Trip.RUN]


def test_an_accepted_letter_ends_the_row_of_the_run() -> None:
    """Nine refusals, an acceptance, nine refusals: the run goes on."""
    switch = TripSwitch()
    for _ in range(2):
        told = [switch.refused(f"{number}.example", policy=False) for number in range(9)]
        assert Trip.RUN not in told
        switch.accepted("z.example")


def test_a_tenth_of_thirty_answers_about_us_stops_the_run() -> None:
    """Three policy refusals among thirty answers, none in a row."""
    switch = TripSwitch()
    for number in range(29):
        if number in {5, 15}:
            assert switch.refused(f"{number}.example", policy=True) is Trip.NONE
        else:
            switch.accepted("a.example")
    assert switch.refused("z.example", policy=True) is Trip.RUN


def test_less_than_a_tenth_does_not_stop_the_run() -> None:
    """Two policy refusals among thirty answers do not."""
    switch = TripSwitch()
    for number in range(29):
        switch.refused("b.example", policy=True) if number == 5 else switch.accepted("a.example")
    assert switch.refused("z.example", policy=True) is Trip.NONE


def test_a_share_of_few_answers_says_nothing() -> None:
    """Two of four is no tenth of thirty."""
    switch = TripSwitch()
    switch.accepted("a.example")
    switch.accepted("a.example")
    assert switch.refused("b.example", policy=True) is Trip.NONE
    assert switch.refused("c.example", policy=True) is Trip.NONE
