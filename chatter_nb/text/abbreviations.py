"""Abbreviations with a full stop that ends no sentence, for each language of Chatterbox.

Data only; `sentences` applies it. The lists hold what is met in prose, not in dictionaries, and
leave out what looks like a common last word ("am.", "gen."). Those of de, es, fr, it, pt and ru
were compared with CLDR's suppressions (common/segments), the others with no list.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Abbreviations:
    """Words without their last stop. A lower-case word matches any case, "Me" only itself."""

    leading: frozenset[str] = frozenset()  # something always follows: titles, "vgl.", "approx."
    numbered: frozenset[str] = frozenset()  # no end before a number or another: "p. 5", "Wed. Jan."
    either: frozenset[str] = frozenset()  # ends a sentence as often as not: "usw.", "J.-C.", "г."
    words: frozenset[str] = frozenset()  # one letter, and no initial: "Nor am I."
    ordinals: bool = False  # "19." is "19th"


def _of(
    leading: str, numbered: str, either: str = "", *, words: str = "", ordinals: bool = False
) -> Abbreviations:
    return Abbreviations(
        frozenset(leading.split()),
        frozenset(numbered.split()),
        frozenset(either.split()),
        frozenset(words.split()),
        ordinals,
    )


# Of Latin names inside texts of other scripts.
_LATIN = _of("Mr Mrs Ms Dr Prof St vs", "no vol p pp fig ch")

ABBREVIATIONS = {
    "ar": _of("د أ أ.د ا", "ص ج رقم", "م هـ ق.م إلخ الخ"),
    "da": _of(
        "hr fr frk dr prof sml jf jfr bl.a f.eks ca dvs vedr inkl ekskl pga Skt kgl",
        "s nr bd kap fig stk kl jan feb mar apr aug sept okt nov dec",
        "osv m.m m.v mv o.l e.Kr f.Kr",
        ordinals=True,
    ),
    "de": _of(
        "Hr Hrn Fr Frl Dr Prof Dipl Ing St z.B d.h vgl bzw ca sog evtl ggf inkl exkl geb gest hl "
        "Hrsg zzgl",
        "S Bd Nr Kap Abb Art Abs Aufl Jg Tab Jan Feb Apr Aug Sept Okt Nov Dez Mo Di Mi Do Sa So",
        "usw etc u.a u.ä v.Chr n.Chr Mio Mrd Jh Jhd Str",
        ordinals=True,
    ),
    "el": _of(
        "κ κα κος κ.κ δρ δις καθ αγ π.χ λ.χ βλ δηλ πρβλ",
        "σελ σ αρ άρθρ τ τόμ κεφ εικ σχ παρ Ιαν Φεβ Μαρ Απρ Ιουν Ιουλ Αυγ Σεπ Οκτ Νοε Δεκ",
        "κλπ κ.λπ κ.ά κ.ο.κ π.Χ μ.Χ π.μ μ.μ",
    ),
    "en": _of(
        "Mr Mrs Ms Mx Messrs Dr Prof Rev Hon Gen Col Maj Capt Lt Sgt Cpl Cmdr Adm Gov Sen Rep "
        "Mt approx cf e.g i.e viz vs",
        "no nos p pp vol vols ch chap chaps fig figs sec art eq eqs par al Jan Feb Mar Apr Jun Jul "
        "Aug Sep Sept Oct Nov Dec Mon Tue Tues Wed Thu Thur Thurs Fri Sat Sun",
        words="I",
    ),
    "es": _of(
        "Sr Sra Srta Sres Dr Dra Prof Profa Dña Lic Ing Gral Sto Sta Excmo Ilmo p.ej cf cfr aprox",
        "pág págs p pp núm n vol cap fig art t ene feb mar abr jun jul ago sept oct nov dic",
        "etc Ud Uds EE.UU a.C d.C a.m p.m",
    ),
    "fi": _of(
        "hra rva nti tri prof toht esim ks vrt mm n noin ns eli synt kuol",
        "s nro nr v kpl klo luku",
        "jne yms ym tms eKr jKr",
        ordinals=True,
    ),
    "fr": _of(
        "M MM Mme Mmes Mlle Mlles Dr Drs Pr Prof Me Mgr St Ste env cf c.-à-d p.ex av apr",
        "p pp vol chap ch fig art no n t sect janv févr avr juil sept oct nov déc",
        "etc J.-C",
    ),
    "he": _of("גב פרופ", "עמ מס פרק כרך", "וכו וגו"),
    "hi": _of(
        "डॉ डा प्रो श्री श्रीमती पं कु स्व मो ए बी सी डी ई एफ जी एच आई जे के एल एम एन ओ पी आर एस टी वी",
        "पृ सं क्र नं अनु",
        "ई.पू",
    ),
    "it": _of(
        "sig sigg sig.ra sig.na dott dott.ssa prof prof.ssa avv ing arch mons egr gent cfr p.es ca",
        "p pp pag pagg vol cap fig art n nr t tav genn febb mar apr magg giu lug ago sett ott nov "
        "dic",
        "ecc etc a.C d.C",
    ),
    "ja": _LATIN,
    "ko": _of("Mr Mrs Ms Dr Prof St vs", "no vol p pp fig ch", ordinals=True),  # 2024. 1. 5.
    "ms": _of(
        "En Pn Cik Tn Dr Prof Hj Hjh Dato Dato' Ust Ir Sdr Sdri Mej Kol Kapt Jen spt cth",
        "hlm hal bil no jil bab Jan Feb Mac Apr Jun Jul Ogos Sept Okt Nov Dis",
        "dll dsb Bhd S.M T.M",
    ),
    "nl": _of(
        "dhr mevr mw dr drs ir ing mr prof ds St bijv d.w.z o.a m.b.t i.p.v t.a.v ca vgl resp zgn "
        "evt incl excl",
        "p pag blz nr hfst afb fig art dl jg jan feb mrt apr aug sept okt nov dec",
        "enz e.d etc v.Chr n.Chr",
    ),
    "no": _of(
        "hr fr frk dr prof bl.a f.eks ca dvs jf jfr ang inkl ekskl pga St kgl",
        "s nr bd kap fig kl tlf jan feb apr aug sept okt nov des",
        "osv m.m m.v mv o.l e.Kr f.Kr",
        ordinals=True,
    ),
    "pl": _of(
        "p prof dr hab inż ks św gen płk kpt ul al pl im m.in np tzn tzw tj ok por zob wg śp",
        "s str nr t rozdz rys tab art ust poz godz",
        "r w itd itp n.e p.n.e tys mln mld zł",
        ordinals=True,
    ),
    "pt": _of(
        "Sr Sra Srta Srs Sras Dr Dra Drs Prof Profa Eng Exmo Exma Ilmo Sto Sta Pe p.ex cf aprox",
        "p pp pág págs vol cap fig art n núm t séc jan fev mar abr jun jul ago set out nov dez",
        "etc a.C d.C Ltda",
    ),
    "ru": _of(
        "проф акад доц д-р им ул просп пл пер т.е т.н т.к напр см ср св гр тов",
        "с стр рис гл т табл п ст ч вып янв февр апр авг сент окт нояб дек",
        "г гг в вв др пр т.д т.п н.э тыс млн млрд руб",
    ),
    "sv": _of(
        "hr fr frk dr prof bl.a t.ex ca dvs jfr resp inkl exkl s.k d.v.s St",
        "s sid nr bd kap fig kl tel jan feb apr aug sept okt nov dec",
        "osv m.m mm etc e.Kr f.Kr o.d dyl",
        ordinals=True,
    ),
    "sw": _of(
        "Bw Bi Dkt Prof Mhe Mch Mt Kpt Jen Ndg Mwl k.m kv mf taz",
        "uk Na juz Jan Feb Mac Apr Jun Jul Ago Sep Okt Nov Des",
        "n.k n.k.w B.K K.K",
    ),
    "tr": _of(
        "Dr Prof Doç Av Yrd Öğr Gör Uzm Op Sn Org Hz St bkz örn yak krş",
        "s sf no c böl şek md Oca Şub Nis Haz Tem Ağu Eyl Eki Kas Ara",
        "vb vs vd M.Ö M.S Ltd Şti A.Ş",
        ordinals=True,
    ),
    "zh": _LATIN,
}
