"""How the tasks of `word_tasks.py` are asked: several wordings of each, of some also with reasons before the answer.

Names in braces are fields of a row. A plain wording is answered with the field `answer` alone.
"""

from __future__ import annotations

from collections.abc import Mapping

PLAIN: Mapping[str, tuple[str, ...]] = {
    "capitals": (
        "Write in capital letters: {words}",
        "{words}\n\nThe same in upper case, please.",
        "Turn every letter of this into a capital one: {words}",
    ),
    "copying": (
        "Say this again, word for word: {words}",
        "Copy: {words}",
        "{words}\n\nRepeat what stands above.",
    ),
    "first": (
        "Which word comes first? {words}",
        "Give me the first word of this list: {words}",
        "{words}\n\nWhat does this list begin with?",
    ),
    "last": (
        "Which word comes last? {words}",
        "Give me the final word of this list: {words}",
        "{words}\n\nWhat does this list end with?",
    ),
    "second": (
        "Which word is number two? {words}",
        "Give me the second word of this list: {words}",
        "{words}\n\nWhat stands right after the first word?",
    ),
    "reversing": (
        "Write these words from last to first: {words}",
        "Reverse the order of the list {words}",
        "{words}\n\nNow the other way round.",
    ),
    "sorting": (
        "Sort from A to Z: {words}",
        "Put these words into alphabetical order: {words}",
        "{words}\n\nHow would a dictionary order them?",
    ),
    "joining": (
        "Join these words with hyphens: {words}",
        "Put a hyphen in place of each comma and its space: {words}",
        "{words}\n\nOne long word of these, with hyphens between them.",
    ),
    "initials": (
        "What letters do these words begin with? {words}",
        "Give the first letter of each word: {words}",
        "{words}\n\nOnly the initials, with spaces between them.",
    ),
    "replacing": (
        "Replace {old} with {new}: {words}",
        "In the list {words}, write {new} where it says {old}.",
        "{words}\n\nThe same list, but with {new} in place of {old}.",
    ),
    "removing": (
        "Leave out {gone}: {words}",
        "Remove {gone} from the list {words}",
        "{words}\n\nThe same list without {gone}.",
    ),
    "repeating": (
        "Say {word} {number} times.",
        "Write the word {word} so often: {number}",
        "{number} times {word}, please, with spaces between.",
    ),
    "counting": (
        "How many words are these? {words}",
        "Count the words: {words}",
        "{words}\n\nHow long is this list?",
    ),
    "longest": (
        "Which word is the longest? {words}",
        "Find the word with the most letters: {words}",
        "{words}\n\nWhich of them has more letters than the others?",
    ),
    "letters": (
        "Does the word {word} have the letter {letter}? Say yes or no.",
        "Yes or no: is there a letter {letter} in {word}?",
        "Is {word} spelled with {letter}? yes or no",
    ),
    "kind": (
        "Animal, food, drink, tool or job: which of them are {word}?",
        "What are {word}? Choose from animal, food, drink, tool, job.",
        "{word}: an animal, a food, a drink, a tool or a job?",
    ),
    "odd-one": (
        "Which of these does not belong with the others? {words}",
        "Find the odd one out: {words}",
        "{words}\n\nThree of these are of one kind. Which is not?",
    ),
}
"""What is asked, by task."""

REASONED: Mapping[str, tuple[tuple[str, str], ...]] = {
    "counting": (
        ("How many words are these? Count them one by one. {words}", "{why} So there are {answer}"),
        ("{words}\n\nHow long is this list? Think step by step.", "{why} The list has {answer}"),
    ),
    "longest": (
        ("Which word is the longest? Count the letters first. {words}", "{why} So it is {answer}"),
        ("{words}\n\nWhich has the most letters? Think step by step.", "{why} The longest is {answer}"),
    ),
    "letters": (("Is there a letter {letter} in {word}? Spell it first, then say yes or no.", "{why} So {answer}"),),
    "odd-one": (
        ("Which of these does not belong with the others? Say what they are. {words}", "{why} So it is {answer}"),
    ),
}
"""What is asked and answered with reasons, by task, where a task has reasons."""
