"""The words that the guards of a semantic cache look for: English, and a few of other languages."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


QUESTIONS = {
    "who": "who whom whose",
    "where": "where",
    "when": "when",
    "why": "why",
    "how many": "how_many how_much",
    "how long": "how_long",
    "how often": "how_often",
    "how old": "how_old",
    "how far": "how_far",
    "": "what which how is are am was were do does did can could should will would has have",
}
"""What the first of these words asks for, two words being joined by "_"; nothing certain under ""."""

CHOICES = {
    "the opposite": (
        "more higher bigger larger greater|less fewer lower smaller",
        "most highest biggest largest|least fewest lowest smallest",
        "max maximum maximize maximise|min minimum minimize minimise",
        "good better best|bad worse worst",
        "same similar equal|different differ",
        "cheap cheaper cheapest affordable|expensive costly priciest",
        "increase increases increasing raise|decrease decreases decreasing reduce lower",
        "gain|lose",
        "fast faster fastest|slow slower slowest",
        "long longer longest|short shorter shortest|tall taller tallest",
        "old older oldest|new newer newest|young younger youngest",
        "early earlier earliest|late later latest",
        "before prior|after following|during while",
        "above over|below under beneath",
        "enable enabled enabling activate turn_on turns_on turned_on turning_on switch_on it_on on_|"
        "disable disabled disabling deactivate off",
        "allow allowed permit|forbid forbidden ban block prevent",
        "start begin|stop end finish quit",
        "open|close",
        "add append insert|remove delete",
        "buy buying purchase|sell selling",
        "encrypt encryption encode|decrypt decryption decode",
        "import importing|export exporting",
        "upload|download",
        "install|uninstall",
        "subscribe|unsubscribe",
        "login log_in logged_in sign_in|logout log_out log_off logged_out sign_out|signup sign_up",
        "lock|unlock",
        "debit|credit",
        "deposit|withdraw withdrawal",
        "send sending sent|receive received receiving",
        "accept accepted approve|reject rejected decline deny refuse",
        "include including|exclude excluding",
        "connect connected|disconnect disconnected",
        "show|hide",
        "input|output",
        "read reading|write writing",
        "public|private",
        "positive|negative",
        "up|down",
        "high|low",
        "big large|small tiny little",
        "easy easier easiest simple|hard harder hardest difficult",
        "inside|outside",
        "rich|poor",
        "am a.m|pm p.m",
        "ascending|descending",
        "push|pull",
        "left|right",
        "hot hotter hottest|cold colder coldest",
        "safe safer safest|dangerous unsafe",
        "legal|illegal",
        "possible|impossible",
        "true|false",
        "win|lose",
        "advantages benefits pros|disadvantages drawbacks cons",
        "male man men boy boys boyfriend husband|female woman women girl girls girlfriend wife",
        "north northern|south southern|east eastern|west western",
        "first|second|third|fourth|fifth|last",
        "today|tomorrow|yesterday",
        "morning|afternoon|evening|night",
    ),
    "other units": (
        "km kilometers kilometres|miles|m meters metres|cm centimeters centimetres|mm|feet ft|inches|yards",
        "kg kilograms kilos|lb lbs pounds|gram grams|oz ounces|tons tonnes",
        "celsius|fahrenheit|kelvin",
        "liter liters litre litres|gallon gallons|ml",
        "seconds|minute minutes|hour hours hourly|day days daily|week weeks weekly|month months monthly|"
        "year years yearly annually",
        "kb|mb|gb|tb",
        "$ dollar dollars usd|€ euro euros eur|£ gbp|₹ rupee rupees rs inr|¥ yen jpy",
    ),
    "another date": (
        "monday|tuesday|wednesday|thursday|friday|saturday|sunday",
        "january jan|february feb|april apr|june|july|august aug|september sept|october oct|november nov|december dec",
        "spring|summer|autumn fall|winter",
    ),
    "another language": (
        "the what how does|der und ich wie|le les je mon comment|el los es cómo qué|il che è mio|você como meu|"
        "het een ik hoe",
    ),
}
"""By reason: rows of alternatives, each with all the words that say it, two words being joined by "_".

Texts that choose otherwise are objected to. The text ends after "on_".
"""

NEGATIONS = _words(
    "not no never without cannot none nobody nothing neither nor cant dont doesnt didnt isnt arent wont shouldnt"
    " nicht kein keine keinen ohne niemals pas sans jamais sin nunca non senza não sem niet geen inte ikke"
    " не нет без никогда"
)
"""Those with "n't" are found as they are."""

LINKS = _words("in on at to for from by with about into of than against between through over under near")
"""Words that put others into a relation, whose order then matters."""

FILLERS = _words(
    "a an the is are was were be been am do does did can could will would should i me my we our you your it its that"
    " this these those there so as if when then please what which how"
)
"""Words that say nothing about the subject."""

JOINTS = {"and", "or", "vs", "versus"}
"""What they join may stand in any order."""

_SMALL = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
NUMBERS = {word: value for value, word in enumerate(f"{_SMALL} seventeen eighteen nineteen".split())} | {
    word: 10 * value for value, word in enumerate(_TENS.split(), 2)
}
SCALES = {
    "k": 10**3,
    "dozen": 12,
    "hundred": 10**2,
    "thousand": 10**3,
    "lakh": 10**5,
    "million": 10**6,
    "mn": 10**6,
    "crore": 10**7,
    "billion": 10**9,
    "bn": 10**9,
}
