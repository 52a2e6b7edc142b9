"""How format prompts are worded: requests for a topic, and for each kind of constraint several ways to ask for it.

A wording holds the whole prompt; `{request}` stands where the request goes, before or behind the constraint. The other
fields are the constraint's parameters as `format_prompts.py` spells them: `{n}` in digits, `{number}` in letters,
`{word}`, `{phrase}` and `{keys}`. Training and test share no request and no wording. Wordings say what the grader
checks and nothing that it does not.
"""

from __future__ import annotations

from collections.abc import Mapping

TRAIN_REQUESTS: tuple[str, ...] = (
    "Tell me about {topic}.",
    "Describe {topic}.",
    "Explain why people care about {topic}.",
    "Give some advice about {topic}.",
    "Share an interesting fact about {topic}.",
    "What should a beginner know about {topic}?",
    "Write something short about {topic}.",
    "What is special about {topic}?",
    "Explain the role of {topic} in daily life.",
    "How would you introduce {topic} to a child?",
    "Make a case for learning more about {topic}.",
    "Say what comes to mind when you think of {topic}.",
)

TEST_REQUESTS: tuple[str, ...] = (
    "What can you say about {topic}?",
    "Help me understand {topic}.",
    "I am curious about {topic}.",
    "Give a short introduction to {topic}.",
    "Why do people talk about {topic}?",
)

TRAIN_WORDINGS: Mapping[str, tuple[str, ...]] = {
    "lower_case": (
        "{request} Write your answer in lower case letters only.",
        "{request} Do not use any capital letters.",
        "Answer in all lowercase. {request}",
        "Using no capital letters at all, answer this: {request}",
        "{request} Your whole reply must be in lowercase.",
        "Please keep every letter small (no capitals). {request}",
    ),
    "no_commas": (
        "{request} Do not use any commas.",
        "Without using a single comma, answer this: {request}",
        "{request} Your answer must not contain commas.",
        "Avoid commas completely. {request}",
        "{request} Write it with no commas at all.",
        "Commas are not allowed in your answer. {request}",
    ),
    "bullets": (
        "{request} Answer with exactly {n} bullet points.",
        "{request} Use a list of {number} bullets, no more and no fewer.",
        "Reply with {number} bullet points. {request}",
        "In exactly {n} bullet points: {request}",
        "{request} Format your answer as {n} bullet points.",
        "Make a bulleted list with exactly {number} items. {request}",
    ),
    "ends_with": (
        '{request} End your answer with "{phrase}"',
        'Finish your reply with the words "{phrase}" {request}',
        '{request} The very last words must be "{phrase}"',
        'Your answer must end with exactly this phrase: "{phrase}" {request}',
        '{request} Close with "{phrase}" and write nothing after it.',
        '{request} Make sure that your reply ends with "{phrase}"',
    ),
    "begins_with": (
        '{request} Begin your answer with the word "{word}".',
        'Start your reply with "{word}". {request}',
        '{request} The first word must be "{word}".',
        'Your answer must start with the word "{word}". {request}',
        '{request} Open with the word "{word}".',
        'Beginning with the word "{word}", answer this: {request}',
    ),
    "max_words": (
        "{request} Use at most {n} words.",
        "In {n} words or fewer: {request}",
        "{request} Your answer must not be longer than {n} words.",
        "Answer with no more than {n} words. {request}",
        "{request} Keep it to {n} words at most.",
        "Be brief: {n} words is the limit. {request}",
    ),
    "json_keys": (
        "{request} Answer with a JSON object that has the keys {keys}.",
        "Reply only with JSON using the keys {keys}. {request}",
        "{request} Format your answer as JSON with exactly these keys: {keys}.",
        "Give your answer as a JSON object with the keys {keys} and nothing else. {request}",
        "{request} Return valid JSON with the keys {keys}.",
        "As a JSON object with keys {keys}, answer this: {request}",
    ),
    "quoted": (
        "{request} Wrap your whole answer in double quotation marks.",
        "Put your entire reply inside double quotation marks. {request}",
        '{request} Your answer must start with " and end with ", with no others in between.',
        "{request} Enclose everything you write in one pair of double quotes.",
        "Answer inside double quotes. {request}",
        "{request} Place double quotation marks around your full response.",
    ),
    "one_question_mark": (
        "{request} Use exactly one question mark.",
        "Include exactly one question in your answer, with one question mark. {request}",
        "{request} Your answer must contain a single question mark.",
        "With exactly one question mark in your reply, answer this: {request}",
        "{request} Ask the reader one question, and use no other question marks.",
        "Your reply needs one question mark, not more and not fewer. {request}",
    ),
}

TEST_WORDINGS: Mapping[str, tuple[str, ...]] = {
    "lower_case": (
        "{request} Please respond entirely in lowercase letters.",
        "No uppercase letters may appear in your answer. {request}",
        "{request} Use lower case throughout.",
    ),
    "no_commas": (
        "{request} Leave out all commas.",
        "Write your response without commas. {request}",
        "{request} There must be zero commas in your reply.",
    ),
    "bullets": (
        "{request} Your response should have exactly {n} bullets.",
        "Give me {number} bullet points, neither more nor fewer. {request}",
        "{request} Write it as a bullet list of {n} points.",
    ),
    "ends_with": (
        '{request} Your final words should be "{phrase}"',
        'Conclude your response with this exact phrase: "{phrase}" {request}',
        '{request} The response has to end with "{phrase}"',
    ),
    "begins_with": (
        '{request} Make "{word}" the first word of your response.',
        'Let your response begin with "{word}". {request}',
        '{request} Your opening word has to be "{word}".',
    ),
    "max_words": (
        "{request} Do not go over {n} words.",
        "Limit your response to {n} words. {request}",
        "{request} You may use up to {n} words.",
    ),
    "json_keys": (
        "{request} Respond with one JSON object whose keys are {keys}.",
        "Your response should be valid JSON with only these keys: {keys}. {request}",
        "{request} Put the answer into JSON under the keys {keys}.",
    ),
    "quoted": (
        "{request} Your full response should be surrounded by double quotation marks.",
        "Respond within one pair of double quotes. {request}",
        "{request} Open with a double quotation mark and close with one.",
    ),
    "one_question_mark": (
        "{request} Your response should have one question mark and no more.",
        "Put a single question into your response, with its question mark. {request}",
        "{request} Make sure there is exactly 1 question mark.",
    ),
}

HELD_OUT_WORDINGS: Mapping[str, tuple[str, ...]] = {
    "upper_case": (
        "{request} Write your answer in capital letters only.",
        "Answer in all caps. {request}",
        "{request} Use uppercase for every letter.",
        "Your entire reply must be in capitals. {request}",
        "{request} Do not use any lowercase letters.",
        "Respond in UPPERCASE only. {request}",
    ),
    "word_times": (
        '{request} Use the word "{word}" exactly {n} times.',
        'Include the word "{word}" {number} times, no more and no fewer. {request}',
        '{request} The word "{word}" must appear exactly {number} times.',
        'Write the word "{word}" exactly {n} times in your answer. {request}',
        '{request} Your response should contain "{word}" exactly {n} times.',
        'With the word "{word}" appearing {number} times in total, answer this: {request}',
    ),
    "paragraphs": (
        "{request} Write exactly {n} paragraphs, with a blank line between them.",
        "In {number} paragraphs separated by blank lines: {request}",
        "{request} Your answer must have {number} paragraphs with an empty line between each.",
        "Split your answer into exactly {n} paragraphs, divided by blank lines. {request}",
        "{request} Use {number} short paragraphs and leave an empty line after each.",
        "Reply with exactly {n} paragraphs (blank line between). {request}",
    ),
}
