"""The texts of the sample work: questions about gems, in English and in four scripts that are set in other ways.

Arabic and Hebrew run from right to left, with a formula in Latin letters among them; Chinese has no spaces; Hindi's
letters join. Whoever looks at the sample sees at once whether their own language is shown as it should be.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One question.

    Attributes:
        name: of the gem, which is also the item's key.
        language: of all its texts.
        prompt: the question.
        answers: four, the first of them good.
        more: what the people of the sample add when they rewrite the question.
    """

    name: str
    language: str
    prompt: str
    answers: tuple[str, str, str, str]
    more: str


FIRST = ("en", "is", "sv")
"""Languages that the questions in Latin letters are asked under, in turn."""

GEMS = ("opal", "ruby", "jade", "topaz", "garnet", "amber", "pearl", "onyx", "agate", "beryl", "quartz", "zircon")

_ARABIC = Sample(
    name="opal-ar",
    language="ar",
    prompt="ما هو الأوبال؟ أجب في جملة واحدة.",
    answers=(
        "الأوبال حجر كريم يتزيّن به الناس منذ آلاف السنين، وتركيبه SiO₂·nH₂O.",
        "أظنّ أن الأوبال نوع من المعادن.",
        "حجر كريم.",
        "سؤال رائع! هناك الكثير مما يقال عن الأوبال: الأوبال هو الأوبال.",
    ),
    more="ولماذا يحبّه الناس؟",
)
_HEBREW = Sample(
    name="opal-he",
    language="he",
    prompt="מהו אופל? ענו במשפט אחד.",
    answers=(
        "אופל הוא אבן חן שאנשים עונדים כבר אלפי שנים; הרכבו SiO₂·nH₂O.",
        "אני חושב שאופל הוא סוג של מתכת.",
        "אבן חן.",
        "שאלה מצוינת! יש כל כך הרבה מה לומר על אופל: אופל הוא אופל.",
    ),
    more="ולמה אנשים אוהבים אותו?",
)
_CHINESE = Sample(
    name="opal-zh",
    language="zh",
    prompt="欧泊是什么？请用一句话回答。",
    answers=(
        "欧泊是人们佩戴了数千年的宝石，成分为 SiO₂·nH₂O。",
        "我想欧泊可能是一种金属。",
        "宝石。",
        "好问题！关于欧泊有太多可说的：欧泊就是欧泊。",
    ),
    more="人们为什么喜欢它？",
)
_HINDI = Sample(
    name="opal-hi",
    language="hi",
    prompt="ओपल क्या है? एक वाक्य में बताइए।",
    answers=(
        "ओपल एक रत्न है जिसे लोग हज़ारों साल से पहनते आए हैं।",
        "मुझे लगता है कि ओपल एक प्रकार की धातु है।",
        "एक रत्न।",
        "बहुत बढ़िया सवाल! ओपल के बारे में कहने को बहुत कुछ है: ओपल ओपल ही है।",
    ),
    more="लोग इसे क्यों पसंद करते हैं?",
)


def _english(number: int, gem: str) -> Sample:
    return Sample(
        name=gem,
        language=FIRST[number % len(FIRST)],
        prompt=f"What is {gem}? Say it in one sentence.",
        answers=(
            f"{gem.title()} is a gem that people have worn for thousands of years.",
            f"I think {gem} may be a kind of metal.",
            f"{gem.title()}.",
            f"Great question! There is so much to say about {gem}. It is {gem}, and {gem} is what it is.",
        ),
        more="Why do people like it?",
    )


SAMPLES = (_ARABIC, _CHINESE, *(_english(number, gem) for number, gem in enumerate(GEMS)), _HEBREW, _HINDI)
"""In the order in which they are handed out: the sample's people judge those before the last `LEFT`."""

LEFT = 5
LANGUAGES = tuple(dict.fromkeys([*FIRST, *(sample.language for sample in SAMPLES)]))
