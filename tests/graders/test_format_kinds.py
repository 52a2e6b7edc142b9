"""Each of the twelve kinds on texts written by hand, the sneaky ones included. The topic is "dogs" throughout."""

import pytest

from burnish.config import dump
from burnish.example import Completion, Example, assistant, user
from burnish.graders.format import CONSTRAINTS, FormatGrader, constraint_from
from burnish.graders.phrasing import (
    BeginsWith,
    EndsWith,
    LowerCase,
    MaxWords,
    NoCommas,
    OneQuestionMark,
    UpperCase,
    WordTimes,
)
from burnish.graders.shapes import Bullets, JsonKeys, Paragraphs, Quoted

KEEPS = {
    LowerCase(): [
        "dogs are loyal animals that love to play outside.",
        "  dogs sleep for about twelve hours on most days.\n",
        "every dog's nose is wet, and it smells 40 times better than ours!",
        "- dogs bark\n- dogs run\n- a dog will guard your home",
        "dogs aren't picky… they eat — or try to eat — nearly everything.",
        "ein hund ist müde, and so are all the dogs in the house.",
        "dogs see 2 colors well: blue & yellow (not red).",
    ],
    UpperCase(): [
        "DOGS ARE LOYAL ANIMALS THAT LOVE TO PLAY OUTSIDE.",
        "A DOG'S NOSE IS WET, AND IT SMELLS VERY WELL!",
        "DOGS SLEEP 12 HOURS; PUPPIES SLEEP EVEN MORE THAN THAT.",
        "\nÜBER DOGS: THEY ARE FRIENDLY, CLEVER AND OFTEN HUNGRY.\n",
        "1. DOGS BARK A LOT\n2. DOGS RUN FAST\n3. DOGS DREAM",
        "DON'T WAKE A DOG THAT IS ASLEEP… LET IT REST.",
    ],
    NoCommas(): [
        "Dogs are loyal animals that love to play outside.",
        "Dogs eat meat and rice and carrots and nearly all else.",
        "Dogs sleep a lot; puppies sleep more: up to 20 hours.",
        "A dog's nose is wet. It helps the dog to smell.",
        "Dogs weigh from 1 to 100 kilograms (or even more).",
        "- Dogs bark at the postman\n- Dogs run in the park",
        "Dogs don't sweat as we do… they pant when hot.",
    ],
    Bullets(count=3): [
        "- Dogs are loyal.\n- Dogs love to play.\n- Dogs sleep a lot.",
        "* Dogs are loyal.\n* They love to play.\n* They sleep a lot.",
        "• Dogs are loyal.\n• They love to play.\n• They sleep a lot.",
        "Here are three points about dogs:\n\n- Loyal\n- Playful\n- Always hungry",
        "-   **Loyalty**: dogs stay close\n\n- *Play*: every day\n\n- Sleep: a lot",
        "  - Dogs are loyal\n    - and playful\n  + and they sleep a lot\nThat is it.",
        "•Dogs are loyal\n•They love to play\n•They sleep a lot, not 1. or 2. hours",
        "- Dogs are well-known\r\n- Dogs are loyal - to most people\r\n- Dogs love walks",
    ],
    EndsWith(phrase="That is all."): [
        "Dogs are loyal animals that love to play outside. That is all.",
        "Dogs are loyal animals that love to play outside. that is all.\n\n",
        "Dogs are loyal animals that love to play outside.\nThat is  all.",
        "Dogs bark to warn us and to greet us.\n\n**That is all.**",
        '"Dogs bark to warn us and to greet us. That is all."',
        "Dogs? That is all. Well, they also guard the house and play: That is all.",
        "DOGS BARK TO WARN US AND TO GREET US. THAT IS ALL.",
    ],
    BeginsWith(word="Well"): [
        "Well, dogs are loyal animals that love to play outside.",
        "well dogs are loyal animals that love to play outside.",
        '"Well, dogs are loyal animals that love to play outside."',
        "**Well**, dogs are loyal animals that love to play outside.",
        "\n\n  Well... dogs are loyal animals that love to play outside.",
        "- Well, dogs are loyal animals that love to play outside.",
        "WELL! Dogs are loyal animals that love to play outside.",
    ],
    MaxWords(count=10): [
        "Dogs are loyal animals that love to play outside.",
        "Dogs bark, run and sleep.",
        "Dogs are well-behaved, good-natured and quick-witted four-legged friends of ours.",
        "A dog's nose isn't dry; it's wet and cold.",
        "Dogs — loyal, playful — sleep about 12.5 hours a day.",
        "- Dogs bark\n- Dogs run\n- Dogs sleep all day",
    ],
    JsonKeys(keys=("fact", "reason")): [
        '{"fact": "Dogs can smell very well.", "reason": "Their noses are wet and large."}',
        '{"reason": "Their noses are wet and large.", "fact": "Dogs can smell very well."}',
        '```json\n{"fact": "Dogs can smell very well.", "reason": "Their noses are wet."}\n```',
        '```\n{\n  "fact": "Dogs can smell very well.",\n  "reason": "Their noses are wet."\n}\n```\n',
        '\n{"fact": ["Dogs smell well", "Dogs hear well"], "reason": {"nose": "It is wet", "ears": 2}}\n',
        '{"fact": "Dogs like “play” and \\"walks\\" a lot.", "reason": "They have legs: 4 of them."}',
        '{"fact": "Dogs \\u00e9tonnent nearly all of us daily.", "reason": 100}',
    ],
    Quoted(): [
        '"Dogs are loyal animals that love to play outside."',
        "“Dogs are loyal animals that love to play outside.”",
        '  "Dogs are loyal animals.\n\nThey love to play outside with us."\n',
        "\"Dogs are 'loyal' animals that don't like to be alone.\"",
        "“Dogs are ‘loyal’ animals that don’t like to be alone.”",
        '"DOGS ARE LOYAL, AND THEY LOVE TO PLAY OUTSIDE!"',
        '"- Dogs bark\n- Dogs run fast\n- Dogs sleep a lot"',
    ],
    WordTimes(word="often", count=2): [
        "Dogs often bark and often sleep in the warm sun.",
        "Often, dogs bark. Dogs sleep often, in the sun.",
        "DOGS OFTEN BARK AND OFTEN SLEEP IN THE SUN.",
        "Dogs *often* bark and “often” sleep in the sun.",
        "How often do dogs bark? Oftentimes at night; often at the postman, too.",
        "An often-heard dog is not often a happy dog, softened by rest.",
    ],
    Paragraphs(count=2): [
        "Dogs are loyal animals.\n\nThey love to play outside.",
        "Dogs are loyal animals.\n\n\n   \nThey love to play outside.\n",
        "Dogs are loyal animals.\nThey bark.\n\nThey love to play\noutside.",
        "Dogs are loyal animals.\r\n\r\nThey love to play outside.",
        "Dogs are loyal animals.\n\n***\n\nThey love to play outside.",
        "- Dogs are loyal\n- Dogs bark\n\n- They love to play\n- They sleep",
    ],
    OneQuestionMark(): [
        "Dogs are loyal animals. Do you have one at home?",
        "Why do people love dogs? Because they are loyal and playful.",
        'People ask "Do dogs dream?" and the answer is yes, they do.',
        "Dogs are loyal (who would doubt it?) and they love to play.",
        "Dogs are loyal animals! Is your dog, too?!",
        "Dogs like **walks**, and who does not **like walks**? Me.",
    ],
}

BREAKS = {
    LowerCase(): [
        "Dogs are loyal animals that love to play outside.",
        "dogs are loyal animals that love to play outside in the USA.",
        "dogs are loyal animals, and i saw that on TV last week.",
        "all lower case: DOGS are loyal animals that love to play.",
        "dogs dream. In their sleep they run and bark a lot.",
        "dogs live in the ǅungla and love to play outside.",
        "12 34 56 78 90 12 34 56",
        "",
    ],
    UpperCase(): [
        "Dogs are loyal animals that love to play outside.",
        "DOGS ARE LOYAL ANIMALS THAT LOVE TO PLAY OUTSIDE, e.g. FETCH.",
        "DOGS ARE LOYAL ANIMALS THAt LOVE TO PLAY OUTSIDE.",
        "Sure! DOGS ARE LOYAL ANIMALS THAT LOVE TO PLAY OUTSIDE.",
        "DOGS LOVE THE STRAßE AND THE PARK AND THE BEACH.",
        "12 34 56 78 90 12 34 56 !!",
        "   ",
    ],
    NoCommas(): [
        "Dogs are loyal, playful animals that love to be outside.",
        "Dogs weigh up to 1,000 ounces and some weigh even more.",
        "Dogs are loyal， playful animals that love to be outside.",
        "Dogs are loyal، playful animals that love to be outside.",
        "Dogs are loyal animals that love to play outside,",
        "Dogs are loyal and playful and good friends of many people\n,",
        '{"fact": "Dogs bark loudly", "reason": "They guard the house at night"}',
    ],
    Bullets(count=3): [
        "- Dogs are loyal.\n- Dogs love to play all day long.",
        "- Dogs are loyal.\n- Dogs play.\n- Dogs sleep.\n- Dogs bark.",
        "1. Dogs are loyal.\n2. Dogs love to play.\n3. Dogs sleep.",
        "- Dogs are loyal. - Dogs love to play. - Dogs sleep a lot.",
        "- Dogs are loyal and love to play all day.\n-\n- ",
        "- Dogs are loyal and love to play all day.\n- They bark.\n-",
        "- Dogs are loyal friends.\n- Dogs are loyal friends.\n- dogs are loyal friends",
        "**Dogs** are loyal.\n**They** love to play.\n**They** sleep a lot.",
        "Dogs are loyal. They love to play. They sleep a lot.",
        "-Dogs are loyal.\n-Dogs love to play.\n-Dogs sleep a lot.",
        "---\nDogs are loyal animals that love to play outside.\n---",
    ],
    EndsWith(phrase="That is all."): [
        "Dogs are loyal animals that love to play outside.",
        "Dogs are loyal animals that love to play outside. That is all",
        "Dogs are loyal animals that love to play outside. That is all!",
        "That is all. Dogs are loyal animals that love to play outside.",
        "Dogs are loyal animals that love to play. That is all. Bye.",
        "Dogs are loyal animals and I wonder what is all.",
        "Dogs are loyal animals who like the format is all.",
        "Dogs chase cats and their hat that is al l.",
        "Dogs bark at their owners and at each other, sothat is all.",
    ],
    BeginsWith(word="Well"): [
        "Dogs, well, are loyal animals that love to play outside.",
        "Wellness matters to dogs, which love to play outside daily.",
        "Well-known for loyalty, dogs love to play outside every day.",
        "Sure! Well, dogs are loyal animals that love to play.",
        "We'll say that dogs are loyal animals that love to play.",
        "Welldogs are loyal animals, and dogs love to play outside.",
        "... dogs are loyal animals that love to play outside, well.",
    ],
    MaxWords(count=10): [
        "Dogs are loyal animals that love to play outside with us.",
        "Dogs bark. Dogs run. Dogs sleep. Dogs eat. Dogs dream too.",
        "dogs-are-loyal-animals-that-love-to-play-outside-with-us-and-with-all-their-many-good-friends-in-the-wide-green-park-ok",
        "Dogs/are/loyal/animals/that/love/to/play/outside/with/us",
        "- Dogs bark\n- Dogs run\n- Dogs sleep\n- Dogs eat\n- Dogs dream\n- Dogs",
        "Dogs—loyal—playful—hungry—sleepy—clever—kind—warm—funny—brave—calm",
        "Dogs,are,loyal,animals,that,love,to,play,outside,with,us",
        "Dogs_are_loyal_animals_that_love_to_play_outside_with_us",
    ],
    JsonKeys(keys=("fact", "reason")): [
        "Dogs can smell very well because their noses are wet.",
        'Here you go: {"fact": "Dogs can smell very well.", "reason": "Wet noses."}',
        '{"fact": "Dogs can smell very well.", "reason": "Their noses are wet.",}',
        "{'fact': 'Dogs can smell very well.', 'reason': 'Their noses are wet.'}",
        "{“fact”: “Dogs can smell very well.”, “reason”: “Their noses are wet.”}",
        '{"fact": "Dogs can smell very well, and they hear well."}',
        '{"fact": "Dogs can smell very well.", "reason": "Wet noses.", "more": "They bark."}',
        '{"fact": "Dogs smell well.", "fact": "Dogs hear well.", "reason": "Wet noses."}',
        '{"fact": "Dogs can smell very well and they hear well.", "reason": "..."}',
        '{"fact": "Dogs can smell very well and hear well too.", "reason": null}',
        '{"fact": "Dogs can smell very well and hear well too.", "reason": NaN}',
        '[{"fact": "Dogs can smell very well.", "reason": "Their noses are wet."}]',
        '"fact": "Dogs can smell very well.", "reason": "Their noses are wet."',
        '{"fact": "Dogs can smell very well.", "reason": "Their noses',
        '{"Fact": "Dogs can smell very well.", "Reason": "Their noses are wet."}',
        "[" * 100_000,
        "1" * 10_000,
        '{"\\ud800": "Dogs can smell very well and hear well too."}',
        "",
    ],
    Quoted(): [
        "Dogs are loyal animals that love to play outside.",
        '"Dogs are loyal animals that love to play outside.',
        'Dogs are loyal animals that love to play outside."',
        "'Dogs are loyal animals that love to play outside.'",
        '"Dogs" are loyal animals that love to play "outside"',
        '"Dogs are loyal animals that love to play outside".',
        '""Dogs are loyal animals that love to play outside.""',
        'Sure: "Dogs are loyal animals that love to play outside."',
        '"',
        "«Dogs are loyal animals that love to play outside.»",
    ],
    WordTimes(word="often", count=2): [
        "Dogs often bark, and they sleep in the warm sun.",
        "Dogs often bark, often sleep and often eat in the sun.",
        "Dogs bark a lot, and they sleep in the warm sun.",
        "Dogs oftenoften bark, and they sleep in the warm sun.",
        "Dogs often bark, and oftener they sleep in the warm sun.",
        "Dogs soften when they often sleep in the warm sun.",
    ],
    Paragraphs(count=2): [
        "Dogs are loyal animals. They love to play outside.",
        "Dogs are loyal animals.\nThey love to play outside.",
        "Dogs are loyal animals.\n\nThey love to play.\n\nThey sleep a lot.",
        "Dogs are loyal animals that love to play outside.\n\nYes.",
        "Dogs are loyal animals that love to play outside.\n\n***\n\n",
        "# Dogs\n\nDogs are loyal animals.\n\nThey love to play outside.",
        "Dogs are loyal animals.\\n\\nThey love to play outside.",
    ],
    OneQuestionMark(): [
        "Dogs are loyal animals that love to play outside.",
        "Do you like dogs? Do you have one at home?",
        "Dogs are loyal animals. Do you have one at home??",
        "Dogs are loyal animals that love to play outside. ?",
        "? Dogs are loyal animals that love to play outside.",
        "Dogs are loyal animals. Do you have one？ Is it yours?",
        "Dogs are loyal animals, are they not? Or is it so؟",
        "Dogs are loyal animals that love to play outside... ?",
    ],
}


def _graded(constraint, text):
    example = Example(
        id="x",
        prompt=(user("Tell me about dogs."),),
        columns={"constraint": dump(constraint), "topic": "dogs"},
    )
    return FormatGrader().grade(example, Completion(messages=(assistant(text),)))


def _cases(texts):
    return [
        pytest.param(kind, text, id=f"{kind.kind}-{i}") for kind, group in texts.items() for i, text in enumerate(group)
    ]


@pytest.mark.parametrize(("constraint", "text"), _cases(KEEPS))
def test_passes(constraint, text):
    grade = _graded(constraint, text)
    assert grade.score == 1.0, grade.reasons
    assert grade.reasons == ()


@pytest.mark.parametrize(("constraint", "text"), _cases(BREAKS))
def test_breaks_the_constraint(constraint, text):
    grade = _graded(constraint, text)
    assert grade.score == 0.0
    assert grade.parts["constraint"] == 0.0, "fails for another reason than the constraint"
    assert any(reason.startswith("constraint: ") for reason in grade.reasons)


def test_every_kind_is_tried():
    for texts in (KEEPS, BREAKS):
        assert [constraint.kind for constraint in texts] == list(CONSTRAINTS)
        assert all(len(group) >= 6 for group in texts.values())


@pytest.mark.parametrize("constraint", KEEPS, ids=lambda constraint: constraint.kind)
def test_travels_as_plain_data(constraint):
    data = dump(constraint)
    assert data["kind"] == constraint.kind
    assert constraint_from(data) == constraint
