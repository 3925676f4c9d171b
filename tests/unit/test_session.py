"""What a session writes, and when: a transport in memory, desk and clock in the test's hand."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import UTC, datetime

import pytest

from pipeline.delivery.flow import SLICE
from pipeline.delivery.letter import Letter, Parcel, Phase
from pipeline.delivery.session import Ending, Manner, Session
from pipeline.delivery.wire import Timeouts, Wire
from pipeline.mail.response import Response
from tests.clocks import FakeClock

BUILT = datetime(2027, 5, 3, tzinfo=UTC)


class MemoryTransport(asyncio.Transport):
    """Keeps what is written; the test plays the server."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.gone = ""  # how the client left: "aborted" or "closed"

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def abort(self) -> None:
        self.gone = self.gone or "aborted"

    def close(self) -> None:
        self.gone = self.gone or "closed"

    def is_closing(self) -> bool:
        return bool(self.gone)


class Supply:
    """Parcels in a row; `next` waits for more where it is told to."""

    def __init__(self, *names: str, size: int = 0, waits: bool = False) -> None:
        self.parcels = deque(parcel(name, number, size) for number, name in enumerate(names, 1))
        self.waiting: asyncio.Future[None] | None = None
        self.given_back: list[str] = []
        self._waits = waits

    async def next(self) -> Parcel | None:
        if self._waits:
            self._waits = False
            self.waiting = asyncio.get_running_loop().create_future()
            await self.waiting
        return self.next_now()

    def next_now(self) -> Parcel | None:
        return self.parcels.popleft() if self.parcels else None

    def at_end(self) -> bool:
        return not self.parcels

    def give_back(self, parcel: Parcel) -> None:
        self.given_back.append(parcel.letter.email)


class Desk:
    """Grants what it is told to, and keeps a log."""

    def __init__(
        self, *, slow: bool = False, denied: tuple[str, ...] = (), enough: tuple[str, ...] = ()
    ) -> None:
        self.log: list[str] = []
        self.asked: dict[str, asyncio.Future[bool]] = {}
        self._slow, self._denied, self._enough = slow, denied, enough

    def permit(self, parcel: Parcel) -> asyncio.Future[bool]:
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.asked[parcel.letter.email] = answer
        if not self._slow:
            answer.set_result(parcel.letter.email not in self._denied)
        return answer

    def answered(self, parcel: Parcel, phase: Phase, response: Response) -> bool:
        self.log.append(f"{parcel.letter.email} {phase} {response.code}")
        return parcel.letter.email not in self._enough

    def lost(self, parcel: Parcel, phase: Phase, why: str) -> None:
        self.log.append(f"{parcel.letter.email} lost at {phase}")

    def not_begun(self, parcel: Parcel, phase: Phase, why: str) -> None:
        self.log.append(f"{parcel.letter.email} not begun at {phase}")


def parcel(name: str, number: int = 1, size: int = 0) -> Parcel:
    """Return a parcel for the letter of that name."""
    letter = Letter(
        id=number, message_id="", recipient_key=name, email=name, domain="", language="", timezone="",
        attempts=0, deferrals=0, line=number, values={},
    )  # fmt: skip
    text = b"text of " + name.encode() + b"\r\n" + b"x" * size
    return Parcel(letter, 1, b"MAIL " + name.encode(), b"RCPT " + name.encode(), text, text, "", BUILT)


class Stage:
    """A session on its way, and what the test does to it."""

    def __init__(
        self, supply: Supply, desk: Desk, manner: Manner = Manner.SINGLE, *, letters: int = 100
    ) -> None:
        self.clock = FakeClock()
        self.transport = MemoryTransport()
        self.wire = Wire(self.transport, self.clock, Timeouts())
        self.session = Session(self.wire, manner=manner, letters=letters)
        self.task = asyncio.create_task(self.session.converse(supply, desk))

    async def heard(self) -> bytes:
        """Return what the client has written since the last time, once it has nothing more to write."""
        for _ in range(20):
            await asyncio.sleep(0)
        written = b"".join(self.transport.written)
        self.transport.written.clear()
        return written

    async def says(self, *replies: str) -> bytes:
        """Let the server say these lines in one packet; return what the client writes then."""
        self.wire.data_received("".join(f"{reply}\r\n" for reply in replies).encode())
        return await self.heard()


# -- what is written together


async def test_single_waits_for_each_answer() -> None:
    """One command, one answer."""
    stage = Stage(Supply("ada", "ben"), Desk())
    assert await stage.heard() == b"MAIL ada\r\n"
    assert await stage.says("250 ok") == b"RCPT ada\r\n"
    assert await stage.says("250 ok") == b"DATA\r\n"
    assert await stage.says("354 go") == b"text of ada\r\n.\r\n"
    assert await stage.says("250 ok") == b"MAIL ben\r\n"
    stage.task.cancel()
    await asyncio.gather(stage.task, return_exceptions=True)


async def test_grouped_sends_the_envelope_at_once_and_the_text_alone() -> None:
    """Two round trips a letter."""
    stage = Stage(Supply("ada", "ben"), Desk(), Manner.GROUPED)
    assert await stage.heard() == b"MAIL ada\r\nRCPT ada\r\nDATA\r\n"
    assert await stage.says("250 ok", "250 ok", "354 go") == b"text of ada\r\n.\r\n"
    assert await stage.says("250 ok") == b"MAIL ben\r\nRCPT ben\r\nDATA\r\n"
    stage.task.cancel()
    await asyncio.gather(stage.task, return_exceptions=True)


async def test_chained_sends_the_next_envelope_with_the_dot() -> None:
    """One round trip a letter, in one write."""
    stage = Stage(Supply("ada", "ben"), Desk(), Manner.CHAINED)
    assert await stage.heard() == b"MAIL ada\r\nRCPT ada\r\nDATA\r\n"
    stage.wire.data_received(b"250 ok\r\n250 ok\r\n354 go\r\n")
    for _ in range(20):
        await asyncio.sleep(0)
    assert stage.transport.written == [b"text of ada\r\n.\r\nMAIL ben\r\nRCPT ben\r\nDATA\r\n"]
    await stage.heard()
    assert await stage.says("250 ok", "250 ok", "250 ok", "354 go") == b"text of ben\r\n.\r\nQUIT\r\n"
    assert await stage.says("250 ok", "221 bye") == b""
    assert await stage.task is Ending.DRAINED
    assert stage.transport.gone == "closed"


async def test_chained_leaves_in_a_write_of_its_own_while_more_may_come() -> None:
    """Nobody knows yet that this was the last letter."""

    class Hoping(Supply):
        def at_end(self) -> bool:
            return False

    stage = Stage(Hoping("ada"), Desk(), Manner.CHAINED)
    await stage.heard()
    assert await stage.says("250 ok", "250 ok", "354 go") == b"text of ada\r\n.\r\n"
    assert await stage.says("250 ok") == b"QUIT\r\n"
    await stage.says("221 bye")
    assert await stage.task is Ending.DRAINED


# -- the fence


@pytest.mark.parametrize("manner", [Manner.CHAINED, Manner.GROUPED])
async def test_no_text_before_the_permission(manner: Manner) -> None:
    """354 is in hand and the permission is not: nothing is written until it comes."""
    desk = Desk(slow=True)
    stage = Stage(Supply("ada"), desk, manner)
    assert await stage.heard() == b"MAIL ada\r\nRCPT ada\r\nDATA\r\n"
    assert await stage.says("250 ok", "250 ok", "354 go") == b""
    desk.asked["ada"].set_result(True)
    assert (await stage.heard()).startswith(b"text of ada\r\n.\r\n")
    await stage.says("250 ok")
    await stage.says("221 bye")
    assert desk.log == ["ada dot 250"]


async def test_single_does_not_even_ask_data_before_the_permission() -> None:
    """One at a time, DATA waits for the permission."""
    desk = Desk(slow=True)
    stage = Stage(Supply("ada"), desk)
    await stage.heard()
    await stage.says("250 ok")
    assert await stage.says("250 ok") == b""
    desk.asked["ada"].set_result(True)
    assert await stage.heard() == b"DATA\r\n"
    stage.task.cancel()
    await asyncio.gather(stage.task, return_exceptions=True)


@pytest.mark.parametrize("manner", [Manner.CHAINED, Manner.GROUPED])
async def test_denied_with_354_in_hand_aborts_without_a_dot(manner: Manner) -> None:
    """The connection is cut, not closed, and nothing is written."""
    stage = Stage(Supply("ada"), Desk(denied=("ada",)), manner)
    await stage.heard()
    assert await stage.says("250 ok", "250 ok", "354 go") == b""
    assert await stage.task is Ending.DENIED
    assert stage.transport.gone == "aborted"


async def test_denied_behind_a_letter_in_hand_keeps_that_letters_answer() -> None:
    """Chained: the letter before is accounted for by its own answer."""
    desk = Desk(denied=("ben",))
    stage = Stage(Supply("ada", "ben"), desk, Manner.CHAINED)
    await stage.heard()
    await stage.says("250 ok", "250 ok", "354 go")
    await stage.says("250 ok", "250 ok", "250 ok", "354 go")
    assert await stage.task is Ending.DENIED
    assert desk.log == ["ada dot 250"]


# -- what a loss means


async def test_lost_after_the_dot_was_handed_over() -> None:
    """From the moment the chunk with the dot is with the transport, a loss is a doubt."""
    desk = Desk()
    stage = Stage(Supply("ada"), desk)
    await stage.heard()
    for reply in ("250 ok", "250 ok", "354 go"):
        await stage.says(reply)
    stage.wire.connection_lost(ConnectionResetError())
    assert await stage.task is Ending.LOST
    assert desk.log == ["ada lost at dot"]


async def test_lost_in_a_long_text_before_its_dot() -> None:
    """A text that the transport has not taken whole has no dot yet."""
    desk = Desk()
    stage = Stage(Supply("ada", size=3 * SLICE), desk)
    await stage.heard()
    await stage.says("250 ok")
    await stage.says("250 ok")
    stage.wire.pause_writing()
    written = await stage.says("354 go")
    assert len(written) == SLICE
    stage.wire.connection_lost(None)
    assert await stage.task is Ending.LOST
    assert desk.log == ["ada lost at content"]
    assert b"\r\n.\r\n" not in written


async def test_stuck_in_a_long_text_is_given_up_after_three_minutes() -> None:
    """The transport's buffer has no room for the time of a block (RFC 5321 4.5.3.2.5)."""
    desk = Desk()
    stage = Stage(Supply("ada", size=3 * SLICE), desk)
    await stage.heard()
    await stage.says("250 ok")
    await stage.says("250 ok")
    stage.wire.pause_writing()
    await stage.says("354 go")
    stage.clock.advance(179)
    await stage.heard()
    assert not stage.transport.is_closing()
    stage.clock.advance(1)
    assert await stage.task is Ending.LOST
    assert desk.log == ["ada lost at content"]
    assert stage.transport.gone == "aborted"


async def test_a_long_text_goes_on_when_there_is_room() -> None:
    """Piece by piece, the dot last."""
    stage = Stage(Supply("ada", size=2 * SLICE), Desk())
    await stage.heard()
    await stage.says("250 ok")
    await stage.says("250 ok")
    stage.wire.pause_writing()
    text = await stage.says("354 go")
    stage.wire.resume_writing()
    text += await stage.heard()
    assert text.endswith(b"x.\r\n")
    assert len(text) == len("text of ada\r\n") + 2 * SLICE + len(".\r\n")
    await stage.says("250 ok")
    await stage.says("221 bye")
    assert await stage.task is Ending.DRAINED


@pytest.mark.parametrize(
    ("phase", "replies", "seconds"),
    [
        ("mail", [], 300), ("rcpt", ["250 ok"], 300), ("data", ["250 ok"] * 2, 120),
        ("dot", ["250 ok", "250 ok", "354"], 600),
    ],
)  # fmt: skip
async def test_time_limit_of_each_phase(phase: str, replies: list[str], seconds: int) -> None:
    """Each phase has the patience of RFC 5321 4.5.3.2, to the second."""
    desk = Desk()
    stage = Stage(Supply("ada"), desk)
    await stage.heard()
    for reply in replies:
        stage.clock.advance(100)
        await stage.says(reply)
    stage.clock.advance(seconds - 1)
    await stage.heard()
    assert not stage.transport.is_closing()
    stage.clock.advance(1)
    assert await stage.task is Ending.LOST
    assert desk.log == [f"ada {'lost' if phase == 'dot' else 'not begun'} at {phase}"]


async def test_grouped_answers_each_have_their_own_time() -> None:
    """The limit of DATA begins with the answer to RCPT."""
    desk = Desk()
    stage = Stage(Supply("ada"), desk, Manner.GROUPED)
    await stage.heard()
    stage.clock.advance(299)
    await stage.says("250 ok")
    stage.clock.advance(299)
    await stage.says("250 ok")
    stage.clock.advance(119)
    await stage.heard()
    assert not stage.transport.is_closing()
    stage.clock.advance(1)
    assert await stage.task is Ending.LOST
    assert desk.log == ["ada not begun at data"]


# -- answers nobody waits for


async def test_answer_out_of_the_blue_ends_an_idle_connection() -> None:
    """A 250 nobody asked for: no later answer could be trusted, so the next letter is given back."""
    supply = Supply("ada", waits=True)
    desk = Desk()
    stage = Stage(supply, desk)
    await stage.heard()
    assert await stage.says("250 2.0.0 surprise") == b""
    assert stage.transport.gone == "aborted"
    assert supply.waiting is not None
    supply.waiting.set_result(None)
    assert await stage.task is Ending.CLOSED
    assert supply.given_back == ["ada"]
    assert desk.asked == {}


async def test_connection_closed_while_idle_gives_the_next_letter_back() -> None:
    """Nothing was said about it, so it costs no attempt."""
    supply = Supply("ada", waits=True)
    stage = Stage(supply, Desk())
    await stage.heard()
    stage.wire.eof_received()
    assert supply.waiting is not None
    supply.waiting.set_result(None)
    assert await stage.task is Ending.CLOSED
    assert supply.given_back == ["ada"]
    assert stage.session.begun == 0


async def test_late_answer_after_the_time_is_up_counts_for_nothing() -> None:
    """The dot's 250 comes after ten minutes: the letter is in doubt already, and stays so."""
    desk = Desk()
    stage = Stage(Supply("ada", "ben"), desk)
    await stage.heard()
    for reply in ("250 ok", "250 ok", "354 go"):
        await stage.says(reply)
    stage.clock.advance(600)
    await stage.says("250 2.0.0 taken after all")
    assert await stage.task is Ending.LOST
    assert desk.log == ["ada lost at dot"]


# -- after a refusal


@pytest.mark.parametrize("manner", list(Manner))
async def test_rset_after_a_refused_recipient(manner: Manner) -> None:
    """The next letter begins on a clean slate."""
    stage = Stage(Supply("ada", "ben"), Desk(), manner)
    await stage.heard()
    if manner is Manner.SINGLE:
        await stage.says("250 ok")
        assert await stage.says("550 no") == b"RSET\r\n"
    else:
        assert await stage.says("250 ok", "550 no", "503 no") == b"RSET\r\n"
    assert (await stage.says("250 ok")).startswith(b"MAIL ben\r\n")
    stage.task.cancel()
    await asyncio.gather(stage.task, return_exceptions=True)


async def test_lone_dot_after_a_refused_recipient_and_354() -> None:
    """The one case in which a dot without a text is right (RFC 2920 3.1)."""
    desk = Desk()
    stage = Stage(Supply("ada"), desk, Manner.GROUPED)
    await stage.heard()
    assert await stage.says("250 ok", "550 no", "354 go") == b".\r\n"
    assert await stage.says("554 no recipients") == b"QUIT\r\n"
    await stage.says("221 bye")
    assert desk.log == ["ada rcpt 550"]


async def test_no_lone_dot_where_the_recipient_was_not_refused() -> None:
    """RCPT answered 354 is out of step: the recipient may stand, and a dot would deliver an empty letter."""
    desk = Desk(denied=("ada",))
    stage = Stage(Supply("ada"), desk, Manner.GROUPED)
    await stage.heard()
    assert await stage.says("250 ok", "354 go", "354 go") == b""
    assert stage.transport.gone == "aborted"
    assert desk.log == []


async def test_desk_has_had_enough() -> None:
    """An answer after which nothing more is wanted ends the connection, without another command."""
    stage = Stage(Supply("ada", "ben"), Desk(enough=("ada",)), Manner.GROUPED)
    await stage.heard()
    assert await stage.says("550 go away", "503 no", "503 no") == b""
    assert await stage.task is Ending.UNWANTED
    assert stage.transport.gone == "aborted"


# -- endings


async def test_worn_after_its_number_of_letters() -> None:
    """It says QUIT after as many letters as the relay is to get."""
    stage = Stage(Supply("ada", "ben", "cem"), Desk(), Manner.CHAINED, letters=2)
    await stage.heard()
    await stage.says("250 ok", "250 ok", "354 go")
    assert await stage.says("250 ok", "250 ok", "250 ok", "354 go") == b"text of ben\r\n.\r\nQUIT\r\n"
    await stage.says("250 ok", "221 bye")
    assert await stage.task is Ending.WORN
    assert stage.session.begun == 2


# -- QUIT behind the last letter's dot


async def parting(desk: Desk) -> Stage:
    """Return a session that has written its only letter, and QUIT behind it."""
    stage = Stage(Supply("ada"), desk, Manner.CHAINED)
    await stage.heard()
    assert await stage.says("250 ok", "250 ok", "354 go") == b"text of ada\r\n.\r\nQUIT\r\n"
    return stage


@pytest.mark.parametrize("answer", ["250 ok", "450 later", "550 no", "554 5.7.1 spam"])
@pytest.mark.parametrize("bye", ["221 bye", "250 what", "500 stay", "503 5.5.1 too early", "421 closing"])
@pytest.mark.parametrize("together", [True, False])
async def test_whatever_is_said_to_quit_is_no_letters_business(
    answer: str, bye: str, *, together: bool
) -> None:
    """The dot has its own answer, in one packet with the other or before it."""
    desk = Desk()
    stage = await parting(desk)
    for packet in [[answer, bye]] if together else [[answer], [bye]]:
        assert await stage.says(*packet) == b""
    assert await stage.task is Ending.DRAINED
    assert desk.log == [f"ada dot {answer[:3]}"]


async def test_what_became_of_the_letter_is_told_before_quit_is_answered() -> None:
    """A relay that is slow to say goodbye keeps no letter open; after five seconds the client goes."""
    desk = Desk()
    stage = await parting(desk)
    stage.clock.advance(599)
    assert await stage.says("250 ok") == b""
    assert desk.log == ["ada dot 250"]
    stage.clock.advance(4)
    await stage.heard()
    assert not stage.transport.is_closing()
    stage.clock.advance(1)
    assert await stage.task is Ending.DRAINED


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
async def test_a_connection_that_ends_behind_the_dots_answer_was_to_end(error: Exception | None) -> None:
    """The letter is accepted, and the relay is in no trouble."""
    desk = Desk()
    stage = await parting(desk)
    await stage.says("250 ok")
    stage.wire.connection_lost(error)
    assert await stage.task is Ending.DRAINED
    assert desk.log == ["ada dot 250"]


async def test_a_connection_that_ends_without_the_dots_answer_leaves_a_doubt() -> None:
    """QUIT behind it changes nothing about that."""
    desk = Desk()
    stage = await parting(desk)
    stage.wire.eof_received()
    assert await stage.task is Ending.LOST
    assert desk.log == ["ada lost at dot"]


async def test_421_to_the_last_dot_is_its_answer() -> None:
    """It closes; nothing is said to QUIT."""
    desk = Desk(enough=("ada",))
    stage = await parting(desk)
    await stage.says("421 closing")
    assert await stage.task is Ending.LOST
    assert desk.log == ["ada dot 421"]


@pytest.mark.parametrize("answers", [["503 5.5.1 no"], ["503 5.5.1 no", "503 5.5.1 no"]])
async def test_a_relay_that_dislikes_quit_behind_the_dot_has_not_taken_the_letter(
    answers: list[str],
) -> None:
    """It goes again, and more patiently."""
    desk = Desk()
    stage = await parting(desk)
    await stage.says(*answers)
    assert await stage.task is Ending.DISLIKED
    assert desk.log == ["ada not begun at dot"]
    assert stage.transport.gone == "aborted"


async def test_one_reply_too_many_behind_quit_makes_all_of_it_worthless() -> None:
    """A stray 250 in front: what was said to the dot would be taken for the answer to QUIT."""
    desk = Desk()
    stage = await parting(desk)
    await stage.says("250 stray", "550 no", "221 bye")
    assert await stage.task is Ending.LOST
    assert desk.log == ["ada lost at dot"]


@pytest.mark.parametrize("said", [["221 bye"], ["221 bye", "250 ok"]])
async def test_a_goodbye_is_no_answer_to_the_dot(said: list[str]) -> None:
    """A relay that hears QUIT before it has said what becomes of the letter: nobody can know.

    It is not chained to again, or a letter of each connection would be in doubt.
    """
    desk = Desk()
    stage = await parting(desk)
    await stage.says(*said)
    assert await stage.task is Ending.DISLIKED
    assert desk.log == ["ada lost at dot"]
    assert stage.transport.gone == "aborted"


@pytest.mark.parametrize("said", [[], ["221 bye"], ["250 ok"], ["250 ok", "221 bye"]])
async def test_told_to_stop_while_it_takes_its_leave(said: list[str]) -> None:
    """The dot's answer counts if it has come, and else nobody can know."""
    desk = Desk()
    stage = await parting(desk)
    stage.task.cancel()
    if said:
        asyncio.get_running_loop().call_soon(
            stage.wire.data_received, "".join(f"{reply}\r\n" for reply in said).encode()
        )
    assert await stage.heard() == b""
    assert desk.log == ["ada dot 250" if "250 ok" in said else "ada lost at dot"]


async def test_told_to_stop_between_the_dots_answer_and_that_to_quit() -> None:
    """Nothing is in hand any more."""
    desk = Desk()
    stage = await parting(desk)
    await stage.says("250 ok")
    stage.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stage.task
    assert desk.log == ["ada dot 250"]


async def test_told_to_stop_twice_the_account_is_still_given() -> None:
    """A further cancellation while the permission is on its way does not leave an attempt open."""
    desk = Desk(slow=True)
    stage = Stage(Supply("ada"), desk, Manner.GROUPED)
    await stage.heard()
    for _ in range(3):
        stage.task.cancel()
        await stage.heard()
    assert not stage.task.done()
    desk.asked["ada"].set_result(True)
    with pytest.raises(asyncio.CancelledError):
        await stage.task
    assert desk.log == ["ada not begun at data"]


async def test_denied_letters_need_no_account() -> None:
    """A permission that is refused after the stop left no attempt behind."""
    desk = Desk(slow=True)
    stage = Stage(Supply("ada"), desk, Manner.GROUPED)
    await stage.heard()
    stage.task.cancel()
    await stage.heard()
    desk.asked["ada"].set_result(False)
    with pytest.raises(asyncio.CancelledError):
        await stage.task
    assert desk.log == []


async def test_supply_that_fails_leaves_no_letter_without_account() -> None:
    """When the next letter cannot be built, the one in hand is told of before the error goes on."""

    class Broken(Supply):
        def next_now(self) -> Parcel | None:
            if len(self.parcels) == 1:
                raise RuntimeError("this letter cannot be built")
            return super().next_now()

    desk = Desk()
    stage = Stage(Broken("ada", "ben"), desk, Manner.CHAINED)
    await stage.heard()
    assert await stage.says("250 ok", "250 ok", "354 go") == b""
    with pytest.raises(RuntimeError):
        await stage.task
    assert desk.log == ["ada not begun at data"]
    assert stage.transport.gone == "aborted"


async def test_no_timer_is_left_when_a_session_has_ended() -> None:
    """A connection that is gone does not keep the clock busy."""
    stage = Stage(Supply("ada"), Desk())
    await stage.heard()
    stage.wire.connection_lost(None)
    await stage.task
    assert stage.clock.timers == 0


async def test_one_reply_too_many_in_a_packet_makes_all_of_it_worthless() -> None:
    """A stray 250 in front shifts the answers: ada's refusal would be ben's, and ada would count as sent."""
    desk = Desk()
    stage = Stage(Supply("ada", "ben"), desk, Manner.CHAINED)
    await stage.heard()
    await stage.says("250 ok", "250 ok", "354 go")
    assert await stage.says("250 stray", "550 no", "250 ok", "250 ok", "354 go") == b""
    assert await stage.task is Ending.LOST
    assert desk.log == ["ada lost at dot", "ben not begun at mail"]
    assert stage.transport.gone == "aborted"


async def test_a_421_behind_the_answers_leaves_them_their_worth() -> None:
    """The server takes its leave (RFC 5321 3.8); what it said before counts."""
    desk = Desk()
    stage = Stage(Supply("ada"), desk, Manner.CHAINED)
    await stage.heard()
    await stage.says("250 ok", "250 ok", "354 go")
    await stage.says("250 ok", "421 bye")
    await stage.task
    assert desk.log == ["ada dot 250"]


async def test_a_denied_letter_in_a_chain_is_not_sent_though_others_wait() -> None:
    """Denied at once: 354 is in hand and cay is ready, and still not an octet of ben goes out, nor a dot."""
    desk = Desk(denied=("ben",))
    stage = Stage(Supply("ada", "ben", "cay"), desk, Manner.CHAINED)
    await stage.heard()
    await stage.says("250 ok", "250 ok", "354 go")
    assert await stage.says("250 ok", "250 ok", "250 ok", "354 go") == b""
    assert await stage.task is Ending.DENIED
    assert stage.transport.gone == "aborted"
    assert desk.log == ["ada dot 250"]
    assert "cay" not in desk.asked


async def test_a_chain_waits_for_a_permission_that_is_late_and_may_be_denied() -> None:
    """The answers come before the commit: nothing is written until it is known, nothing when denied."""
    desk = Desk(slow=True)
    stage = Stage(Supply("ada", "ben", "cay"), desk, Manner.CHAINED)
    await stage.heard()
    assert await stage.says("250 ok", "250 ok", "354 go") == b""
    desk.asked["ada"].set_result(True)
    assert (await stage.heard()).startswith(b"text of ada\r\n.\r\nMAIL ben")
    assert await stage.says("250 ok", "250 ok", "250 ok", "354 go") == b""
    desk.asked["ben"].set_result(False)
    assert await stage.heard() == b""
    assert await stage.task is Ending.DENIED
    assert desk.log == ["ada dot 250"]


# -- told to stop at once, with an answer in hand


async def in_flight(manner: Manner, *names: str) -> tuple[Stage, Desk]:
    """Return a session whose first content is with the relay."""
    desk = Desk()
    stage = Stage(Supply(*names), desk, manner)
    await stage.heard()
    if manner is Manner.SINGLE:
        await stage.says("250 ok")
        await stage.says("250 ok")
        written = await stage.says("354 go")
    else:
        written = await stage.says("250 ok", "250 ok", "354 go")
    assert b"text of ada\r\n.\r\n" in written
    return stage, desk


@pytest.mark.parametrize("said", ["250 ok", "550 no"])
async def test_an_answer_before_those_of_the_next_envelope_counts_when_told_to_stop(said: str) -> None:
    """It is a fact; only what nobody answered is in doubt."""
    stage, desk = await in_flight(Manner.CHAINED, "ada", "ben")
    await stage.says(said)
    assert desk.log == []  # ben's answers are waited for
    stage.task.cancel()
    await stage.heard()
    assert desk.log == [f"ada dot {said[:3]}", "ben not begun at data"]
    assert stage.transport.gone == "aborted"


@pytest.mark.parametrize("manner", list(Manner))
async def test_an_answer_that_comes_in_the_moment_of_the_stop_counts(manner: Manner) -> None:
    """The loop reads it before the connection is dropped, and nothing is written any more."""
    stage, desk = await in_flight(manner, "ada", "ben")
    stage.task.cancel()
    asyncio.get_running_loop().call_soon(stage.wire.data_received, b"250 ok\r\n")
    assert await stage.heard() == b""
    assert "ada dot 250" in desk.log
    assert "ada lost at dot" not in desk.log


@pytest.mark.parametrize("manner", list(Manner))
async def test_without_an_answer_it_is_in_doubt_when_told_to_stop(manner: Manner) -> None:
    """Nobody can know."""
    stage, desk = await in_flight(manner, "ada", "ben")
    stage.task.cancel()
    assert await stage.heard() == b""
    assert desk.log[0] == "ada lost at dot"


async def test_the_answer_of_an_earlier_letter_is_not_taken_for_the_next_one() -> None:
    """On the quick way the answers of one letter come with the envelope of the next."""
    stage, desk = await in_flight(Manner.CHAINED, "ada", "ben", "eva")
    await stage.says("250 ok", "250 ok", "250 ok", "354 go")
    stage.task.cancel()
    await stage.heard()
    assert desk.log[:2] == ["ada dot 250", "ben lost at dot"]


async def test_one_reply_too_many_is_no_answer_when_told_to_stop() -> None:
    """Nobody can tell which of them answers what."""
    stage, desk = await in_flight(Manner.GROUPED, "ada")
    stage.task.cancel()
    asyncio.get_running_loop().call_soon(stage.wire.data_received, b"250 ok\r\n250 ok\r\n")
    await stage.heard()
    assert desk.log == ["ada lost at dot"]
