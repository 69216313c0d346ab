from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.cache.semantic.fingerprint import marks
from llmkit.cache.semantic.guards import objection, objections

TRAPS = {
    "other numbers": [
        ("Can I get a decent college with a score of 15?", "Can I get a decent college with a score of 12?"),
        ("What can I do with 1,000 dollars?", "What can I do with 10,000 dollars?"),
        ("Name two rivers in Asia.", "Name three rivers in Asia."),
        ("What happened in 1945?", "What happened in 1946?"),
        ("Is 3.10 faster than the version before?", "Is 3.11 faster than the version before?"),
        ("Sum up the text in five sentences.", "Sum up the text in 6 sentences."),
        ("What is a good laptop for 40k?", "What is a good laptop for 400?"),
        ("What is twenty five percent of my pay?", "What is twenty six percent of my pay?"),
        ("What's new on the iPhone?", "What's new on the iPhone 15?"),
        ("Remind me at 10:30.", "Remind me at 11:30."),
        ("What is due on 2024-05-01?", "What is due on 2024-06-01?"),
        ("٣ كتب", "٤ كتب"),
        ("What is 5 times 5?", "What is 5 times?"),
        ("Add 5 and 5 and 5.", "Add 5 and 5."),
        ("Who was Henry Ⅳ?", "Who was Henry Ⅵ?"),
        ("Ⅳ", "Ⅵ"),
        ("What is 2³?", "What is 23?"),
        ("What is ½ of it?", "What is ¼ of it?"),
    ],
    "other signs": [
        ("Is x > 5 here?", "Is x < 5 here?"),
        ("Is a <= b?", "Is a >= b?"),
        ("Is a ≤ b?", "Is a ≥ b?"),
        ("Is x == 5?", "Is x != 5?"),
        ("What is 2 + 3?", "What is 2 * 3?"),
        ("What is 2+3?", "What is 2*3?"),
        ("What is 6 / 3?", "What is 6 * 3?"),
        ("What is 6/3?", "What is 6-3?"),
        ("What is 6 \u00d7 3?", "What is 6 ÷ 3?"),
        ("What is x/y?", "What is x-y?"),
        ("What is price * amount?", "What is price / amount?"),
        ("What is (2 + 3) * 5?", "What is (2 + 3) / 5?"),
        ("What is -5 + 3?", "What is 5 + 3?"),
        ("What is \u22125 + 3?", "What is 5 + 3?"),
        ("Is -x positive?", "Is x positive?"),
        ("What is 2^3?", "What is 2 3?"),
        ("What is √9?", "What is 9?"),
        ("What is 10% of 50?", "What is 10 of 50?"),
        ("How do I learn C#?", "How do I learn C?"),
        ("How do I learn C++?", "How do I learn C?"),
        ("How do I learn C++?", "How do I learn C#?"),
    ],
    "a negation": [
        ("Which foods are safe for dogs?", "Which foods are not safe for dogs?"),
        ("Why are some stars visible?", "Why aren't some stars visible?"),
        ("How can I travel with a visa?", "How can I travel without a visa?"),
        ("When should I reboot the server?", "When should I never reboot the server?"),
        ("Can planes fly over the sea?", "Is it true that planes cannot fly over the sea?"),
        ("Which plans have ads?", "Which plans have no ads?"),
        ("Why does it work?", "Why doesnt it work?"),
        ("Was darf ich essen?", "Was darf ich nicht essen?"),
        ("¿Puedo viajar con visado?", "¿Puedo viajar sin visado?"),
        ("Pourquoi ça marche ?", "Pourquoi ça ne marche pas ?"),
        ("Почему он работает?", "Почему он не работает?"),
        ("我可以吃苹果吗", "我不可以吃苹果吗"),
    ],
    "other names": [
        ("What is the capital of France?", "What is the capital of Spain?"),
        ("what is the capital of france?", "what is the capital of Spain?"),
        ("Who is Dr. Smith?", "Who is Dr. Jones?"),
        ("How do I sort a list in Python?", "How do I sort a list in Ruby?"),
        ("Which jobs are there for ECE engineers?", "Which jobs are there for EEE engineers?"),
        ("What does getUserName return?", "What does getUserMail return?"),
        ("What does max_tokens do?", "What does max_retries do?"),
        ("Sum up https://example.com/a", "Sum up https://example.com/b"),
        ("Write to ann@example.com about it.", "Write to bob@example.com about it."),
        ("How good is the HP LaserJet M605x?", "How good is the HP LaserJet M605n?"),
        ("How cold is it in March?", "How cold is it in May?"),
        ("What is the best phone?", "What is the best phone in India?"),
        ("WHAT IS THE BEST CITY IN SPAIN?", "What is the best city in France?"),
    ],
    "other quotes": [
        ('Translate "good morning" into French.', 'Translate "good night" into French.'),
        ("What does `ls -l` print?", "What does `ls -a` print?"),
        ("What does “in spe” mean?", "What does “in situ” mean?"),
        ("What does 😀 mean?", "What does 😡 mean?"),
        ("hello 😀", "hello 😡"),
    ],
    "another order": [
        ("How long is the flight from Paris to Rome?", "How long is the flight from Rome to Paris?"),
        ("How do you convert kilometers to miles?", "How do I convert miles to kilometers?"),
        (
            "What do Indians find most annoying in foreigners?",
            "What do foreigners find most annoying about Indians?",
        ),
        ("What happens when diesel is used in a petrol engine?", "What happens if petrol is used in a diesel engine?"),
        ("Why are dogs better than cats?", "Why are cats better than dogs?"),
        ("Is it right that Ann owes Bob money?", "Is it right that Bob owes Ann money?"),
        ("What would a girl share with a boy?", "What would a boy share with a girl?"),
    ],
    "another question word": [
        ("Where was Cinderella's father?", "Who was Cinderella's father?"),
        ("When was the tower built?", "Why was the tower built?"),
        ("How many people live there?", "Who lives there?"),
        ("How long is the Nile?", "How old is the Nile?"),
    ],
    "the opposite": [
        ("Which country has more people?", "Which country has less people?"),
        ("What should I eat before a race?", "What should I eat after a race?"),
        ("How do I increase the limit?", "How do I decrease the limit?"),
        ("What is the cheapest way there?", "What is the most expensive way there?"),
        ("How do I enable the firewall?", "How do I disable the firewall?"),
        ("What is the min size of a file?", "What is the max size of a file?"),
        ("What are good dating sites for men?", "What are good dating sites for women?"),
        ("What are the best sites for this?", "What are the worst sites for this?"),
        ("What are the pros of it?", "What are the cons of it?"),
        ("Who was the first president?", "Who was the second president?"),
        ("How do I import a database?", "How do I export a database?"),
        ("Why is rice good for dogs?", "Why is rice bad for dogs?"),
        ("How are goats and sheep similar?", "How are goats and sheep different?"),
        ("Should I buy gold now?", "Should I sell gold now?"),
        ("Turn on the light.", "Turn off the light."),
        ("How do I turn the light on?", "How do I turn the light off?"),
        ("is it on", "is it off"),
        ("How do I turn on sounds?", "How do I disable sounds?"),
        ("Debit my account.", "Credit my account."),
        ("How do I log in?", "How do I log out?"),
        ("Where do I sign in?", "Where do I sign up?"),
        ("Remind me at 9 am.", "Remind me at 9 pm."),
        ("Remind me at 9 a.m. please.", "Remind me at 9 p.m. please."),
        ("How do I accept an offer?", "How do I reject an offer?"),
        ("How do I send a parcel?", "How do I receive a parcel?"),
        ("Can I deposit money there?", "Can I withdraw money there?"),
        ("How do I scale up?", "How do I scale down?"),
        ("Is the risk high?", "Is the risk low?"),
        ("Is it easy to learn?", "Is it difficult to learn?"),
        ("How do I show comments?", "How do I hide comments?"),
        ("How do I connect a phone?", "How do I disconnect a phone?"),
    ],
    "other units": [
        ("How many km is it to the sea?", "How many miles is it to the sea?"),
        ("What does it cost in euros?", "What does it cost in dollars?"),
        ("Can I get it for $5?", "Can I get it for €5?"),
        ("Is 30 celsius too warm?", "Is 30 fahrenheit too warm?"),
    ],
    "another date": [("is it open on monday?", "is it open on sunday?")],
    "another language": [("What is the weather in Bonn?", "Wie ist das Wetter in Bonn?")],
    "another script": [("Kak dela", "Как дела"), ("What is love?", "愛とは何ですか")],
    "another length": [
        ("Is tea healthy?", "Is tea healthy, and is coffee, and is milk, and is water, and is juice too?")
    ],
}

PARAPHRASES = [
    ("How do I reset my password?", "How can I reset my password?"),
    ("What is the capital of France?", "Which city is the capital of France?"),
    ("What is the capital of France?", "what is the capital of france"),
    ("WHAT IS THE CAPITAL OF FRANCE?", "What is the capital of France?"),
    ("What is 1,000 in hex?", "what's 1000 in hex?"),
    ("Name five rivers.", "Name 5 rivers."),
    ("Can I live on two thousand dollars?", "Can I live on 2000 dollars?"),
    ("What is the best laptop for 40k?", "What's the best laptop for 40,000?"),
    ("Can I make 1.5 million a year?", "Can I make 1,500,000 a year?"),
    ("Is twenty five old?", "Is 25 old?"),
    ("Who was born on May 05?", "Who was born on May 5?"),
    ("How does one get a job at Google?", "How do I get a job at google?"),
    ("Why is the sky blue?", "What is the reason why the sky is blue?"),
    ("Why is the sky blue?", "Why does the sky look blue?"),
    ("Who wrote Hamlet?", "Who is the author of Hamlet?"),
    ("Which is better, tea or coffee?", "Which is better, coffee or tea?"),
    (
        "What is the difference between a real gas and an ideal gas?",
        "What's the difference between ideal and real gases?",
    ),
    ("What are some examples of mammals?", "What are mammals? What are some examples?"),
    ("Should cow slaughter be banned or not?", "Should cow slaughter be banned?"),
    ("Why can't I log in?", "Why am I not able to log in?"),
    ("I don\u2019t get it. How does it work?", "I don't get it. How does it work?"),
    ("How can I travel without a passport?", "How do I travel if I have no passport?"),
    ("Who is the Indian prime minister?", "Who is the prime minister of India?"),
    ("How many people live in the USA?", "How many people are there in the US?"),
    ("How many people live in the U.S. now?", "How many people live in the US now?"),
    ("What does `max_tokens` do?", "What is max_tokens for?"),
    ('What is the meaning of "ephemeral"?', "What does ephemeral mean?"),
    ("Is it cheap to live in Rome?", "Is living in Rome affordable?"),
    ("How far is it in km?", "How far is it in kilometers?"),
    ("How much is it in eur?", "How much is it in euros?"),
    ("I want to buy a car. Which one?", "Which car should I buy?"),
    ("What can I do on a monday?", "What is there to do on a Monday?"),
    ("How do I use Node.js?", "how to use node.js"),
    ("Tell me a joke.", "Please tell me a joke"),
    ("How To Learn Python Fast", "How to learn Python fast?"),
    ("How do I prepare for an interview?", "What should I do to prepare for interviews?"),
    ("How DO I prepare?", "How do I prepare?"),
    ("What are the symptoms of flu?", "What symptoms does flu have?"),
    ("Wie setze ich mein Passwort zurück?", "Wie kann ich mein Passwort zurücksetzen?"),
    ("¿Cómo puedo cambiar mi contraseña?", "¿Cómo cambio mi contraseña?"),
    ("如何重置密码", "怎样重置我的密码"),
    ("パスワードを変える方法", "パスワードをどう変えますか"),
    ("Как сменить пароль?", "Как мне поменять пароль?"),
    ("हिंदी में लिखो", "हिंदी में लिखिए"),
    ("What is vitamin K?", "What does vitamin k do?"),
    ("How do I write an e-mail?", "How do I write an email?"),
    ("What is a well-known item?", "What is a well known item?"),
    ("- item\n- other item", "item, other item"),
    ("Python - how do I sort?", "Python: how do I sort?"),
    ("Do I need tea and/or coffee?", "Do I need tea and or coffee?"),
    ("What are the best jokes / stories?", "What are the best jokes, stories?"),
    ("What is due on 01/02/2024?", "What is due on 01-02-2024?"),
    ("Does it take 5-10 days?", "Does it take 5 to 10 days?"),
    ("What is 10% of 50?", "What is 10 percent of 50?"),
    ("What is 10% of 50?", "What is 10 per cent of 50?"),
    ("What is 2 + 3?", "what is 2+3"),
    ("Who made C++?", "Who created C++?"),
    ("Is this the #1 song?", "Is this the number 1 song?"),
    ("What is ½?", "What is 0.5?"),
    ("How do I turn off sounds?", "How do I disable sounds?"),
    ("How do I turn off sounds on my phone?", "How do I turn off my phone's sounds?"),
    ("How do I disable comments on a page?", "How do I disable a page's comments?"),
    ("How do I log out?", "How do I sign out?"),
    ("Thanks 😀", "thanks"),
    ("Thanks 😀😀", "Thanks 😀"),
    ("Thanks 👍🏽", "Thanks 👍"),
]


@pytest.mark.parametrize(
    ("reason", "asked", "cached"), [(reason, *pair) for reason, pairs in TRAPS.items() for pair in pairs]
)
def test_texts_that_are_alike_and_ask_for_something_else_do_not_share_an_answer(reason, asked, cached):
    assert reason in list(objections(marks(asked), marks(cached)))
    assert reason in list(objections(marks(cached), marks(asked)))
    assert objection(marks(asked), marks(cached)) is not None


@pytest.mark.parametrize(("asked", "cached"), PARAPHRASES)
def test_texts_that_ask_for_the_same_in_other_words_may_share_an_answer(asked, cached):
    assert objection(marks(asked), marks(cached)) is None
    assert objection(marks(cached), marks(asked)) is None


def test_the_first_objection_is_told():
    asked, cached = marks("Which 2 pills are safe?"), marks("Which 3 pills are not safe?")
    assert list(objections(asked, cached)) == ["other numbers", "a negation"]
    assert objection(asked, cached) == "other numbers"


def test_marks_of_another_secret_are_objected_to_and_not_compared_any_further():
    one, other, none = (marks("From Paris to Rome?", secret=secret) for secret in (b"one", b"other", b""))
    assert objection(one, one) is None
    assert list(objections(one, other)) == ["marks of another secret"]
    assert list(objections(one, none)) == ["marks of another secret"]


def test_a_short_text_is_never_too_short():
    assert objection(marks("Hi"), marks("hi there, how is it going these days?")) is None


@given(st.text())
def test_no_text_is_objected_to_by_itself(text):
    assert objection(marks(text), marks(text)) is None


@given(st.text(), st.text())
def test_an_objection_holds_both_ways(one, other):
    assert list(objections(marks(one), marks(other))) == list(objections(marks(other), marks(one)))
