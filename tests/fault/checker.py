"""Judges what people saw: every question answered once, in order, in its own chat.

A question carries a marker that its whole answer ends with, and nothing else does. A history is what each chat shows in
the end, with every version that a message ever had; so an answer that stood twice, if only for a moment, is seen.
"""

import collections
import dataclasses


@dataclasses.dataclass(frozen=True)
class Question:
    chat: int
    marker: str


@dataclasses.dataclass(frozen=True)
class Message:
    """A bot's message: its text now (None: deleted), and all that it ever said."""
    chat: int
    message_id: int
    text: str | None
    versions: tuple = ()

    def ever(self, marker):
        return any(marker in text for text in (self.text or "", *self.versions))


@dataclasses.dataclass
class Verdict:
    lost: list = dataclasses.field(default_factory=list)       # questions without an answer that stands
    doubled: list = dataclasses.field(default_factory=list)    # questions whose answer stood in two messages
    disordered: list = dataclasses.field(default_factory=list) # pairs of questions, answered in the other order
    misplaced: list = dataclasses.field(default_factory=list)  # questions answered in another chat
    strays: list = dataclasses.field(default_factory=list)     # messages that stand and answer nothing

    @property
    def sins(self):
        """What must never be. A stray placeholder may, one for a kill."""
        return {name: getattr(self, name) for name in ("lost", "doubled", "disordered", "misplaced") if getattr(self, name)}


def judge(questions, messages):
    """`questions` in the order in which each chat asked them; `messages` in any order."""
    verdict = Verdict()
    answers = {}  # question -> its message
    for question in questions:
        everywhere = [m for m in messages if m.ever(question.marker)]
        here = [m for m in everywhere if m.chat == question.chat]
        if len(here) != len(everywhere):
            verdict.misplaced.append(question)
        if len(here) > 1:
            verdict.doubled.append(question)
        standing = [m for m in here if m.text and question.marker in m.text]
        if standing:
            answers[question] = standing[0]
        else:
            verdict.lost.append(question)
    by_chat = collections.defaultdict(list)
    for question in questions:
        if question in answers:
            by_chat[question.chat].append(question)
    for asked in by_chat.values():
        for first, second in zip(asked, asked[1:]):
            if answers[first].message_id > answers[second].message_id:
                verdict.disordered.append((first, second))
    useful = set(answers.values())
    verdict.strays = [m for m in messages if m.text is not None and m not in useful]
    return verdict
