#!/usr/bin/env python3
"""Generates the locality tables of the crate `numbering` and the zone names of `domain`.

    python3 -m venv venv && venv/bin/pip install phonenumbers==9.0.43 tzdata
    venv/bin/python crates/core/numbering/generate/generate.py

Source: libphonenumber's geocoding, time-zone and country data as the PyPI package `phonenumbers`
carries them (Copyright The Libphonenumber Authors, Apache License 2.0), and the names of the
IANA time zone database (public domain) as PyPI's `tzdata` carries them.

Writes, relative to this file:
    ../tables/*              what the crate embeds (src/tables.rs tells the layout)
    ../src/generated.rs      countries and sets of time zones
    ../../domain/src/zones.rs  names of time zones; an existing table only grows at its end

The output depends on nothing but the two packages and, for zones.rs, the table that is there.
"""

import collections
import importlib
import pathlib
import random
import re
import struct
import zoneinfo

import phonenumbers
import phonenumbers.timezone
from phonenumbers.data import _COUNTRY_CODE_TO_REGION_CODE as CALLING_CODES
from phonenumbers.tzdata import TIMEZONE_DATA

HERE = pathlib.Path(__file__).resolve().parent
TABLES = HERE.parent / "tables"
GENERATED = HERE.parent / "src" / "generated.rs"
ZONES = HERE.parent.parent / "domain" / "src" / "zones.rs"
DIGITS = 9  # The longest prefix of the source; a key is a number's first nine digits.
NAMED = ("1", "44", "86")  # Calling codes whose places get names.

STATES = dict(
    pair.split("=")
    for pair in (
        "AL=Alabama AK=Alaska AZ=Arizona AR=Arkansas CA=California CO=Colorado CT=Connecticut DE=Delaware "
        "FL=Florida GA=Georgia HI=Hawaii ID=Idaho IL=Illinois IN=Indiana IA=Iowa KS=Kansas KY=Kentucky "
        "LA=Louisiana ME=Maine MD=Maryland MA=Massachusetts MI=Michigan MN=Minnesota MS=Mississippi "
        "MO=Missouri MT=Montana NE=Nebraska NV=Nevada NH=New_Hampshire NJ=New_Jersey NM=New_Mexico "
        "NY=New_York NC=North_Carolina ND=North_Dakota OH=Ohio OK=Oklahoma OR=Oregon PA=Pennsylvania "
        "RI=Rhode_Island SC=South_Carolina SD=South_Dakota TN=Tennessee TX=Texas UT=Utah VT=Vermont "
        "VA=Virginia WA=Washington WV=West_Virginia WI=Wisconsin WY=Wyoming DC=District_of_Columbia "
        "AB=Alberta BC=British_Columbia MB=Manitoba NB=New_Brunswick NL=Newfoundland_and_Labrador "
        "NS=Nova_Scotia NT=Northwest_Territories NU=Nunavut ON=Ontario PE=Prince_Edward_Island QC=Quebec "
        "SK=Saskatchewan YT=Yukon"
    ).split()
)
STATES = {code: name.replace("_", " ") for code, name in STATES.items()}
# Whole names of the source that are not a state's own: what they mean.
STATE_NAMES = {name: (name, None) for name in STATES.values()} | {
    "Washington State": ("Washington", None),
    "Washington D.C.": ("District of Columbia", "Washington"),
    "British Colombia": ("British Columbia", None),
    "Watson Lake": ("Yukon", "Watson Lake"),
    # One area code of two or three provinces: no single one may be claimed.
    "Nova Scotia/Prince Edward Island": (None, None),
    "Northwest Territories/Nunavut/Yukon": (None, None),
}

# Chinese provinces: every spelling the source begins a name with, longest first, and the full one.
PROVINCES_ZH = {
    "内蒙古自治区": "内蒙古", "广西壮族自治区": "广西", "西藏自治区": "西藏",
    "宁夏回族自治区": "宁夏", "新疆维吾尔自治区": "新疆",
    "北京市": "北京", "天津市": "天津", "上海市": "上海", "重庆市": "重庆",
} | {
    name + "省": name
    for name in (
        "云南 吉林 四川 安徽 山东 山西 广东 江苏 江西 河北 河南 浙江 海南 湖北 湖南 甘肃 福建 贵州 辽宁 陕西 青海 黑龙江"
    ).split()
}
MUNICIPALITIES = ("Beijing", "Tianjin", "Shanghai", "Chongqing")
RENAMED = {
    "Xiangfan": ("Xiangyang", "襄阳市"), "Simao": ("Puer", "普洱市"), "Urumchi": ("Urumqi", "乌鲁木齐市"),
    "Hulun": ("Hulunbuir", "呼伦贝尔市"), "Xilin": ("Xilingol", "锡林郭勒盟"),
}
# UK area codes of five digits after the country code; others have four, 02x two, 011x and 01x1 three.
UK_FIVE = "13873 15242 15394 15395 15396 16973 16974 16977 17683 17684 17687 19467".split()


def geodata():
    data = {}
    folder = pathlib.Path(phonenumbers.__file__).parent / "geodata"
    for path in sorted(folder.glob("data*.py")):
        data.update(importlib.import_module(f"phonenumbers.geodata.{path.stem}").data)
    return data


def longest(table, digits):
    for n in range(len(digits), 0, -1):
        if digits[:n] in table:
            return table[digits[:n]]
    return None


# ---------------------------------------------------------------- countries

def region_of(number, code):
    """The region whose numbers this is, or None where no valid number looks so."""
    parsed = phonenumbers.PhoneNumber(country_code=code, national_number=int(number))
    if number.startswith("0"):
        parsed.italian_leading_zero = True
        parsed.number_of_leading_zeros = len(number) - len(number.lstrip("0"))
    return phonenumbers.region_code_for_number(parsed)


def countries():
    """Prefix -> ISO code: every calling code, and the parts of shared ones that belong elsewhere."""
    draw = random.Random(1)
    table = {}
    for code, regions in CALLING_CODES.items():
        table[str(code)] = regions[0]
        if len(regions) == 1:
            continue
        width = 3 if code == 1 else 5
        lengths = set()
        for region in regions:
            meta = phonenumbers.PhoneMetadata.metadata_for_region(region)
            lengths |= set(meta.general_desc.possible_length)
        if code == 1:
            lengths = {10}  # Canada's few numbers of seven digits begin like area codes elsewhere.
        for head in range(10**width):
            head = f"{head:0{width}}"
            if head[0] == "0" and code != 39:
                continue
            found = collections.Counter()
            for length in sorted(lengths):
                for _ in range(24 if code == 1 else 3):
                    rest = "".join(draw.choice("0123456789") for _ in range(length - width))
                    region = region_of(head + rest, code)
                    if region:
                        found[region] += 1
            if found:
                region = found.most_common(1)[0][0]
                if region != regions[0]:
                    table[f"{code}{head}"] = region
    return table


# ---------------------------------------------------------------- places

def apostrophe(name):
    """`XiAn` of the source is Xi'an."""
    return re.sub(r"([a-z])([A-Z])", lambda m: f"{m[1]}'{m[2].lower()}", name)


def chinese(geo):
    """Prefix -> (province, city, province zh, city zh), one spelling for each place."""
    raw = {}
    for prefix, names in geo.items():
        if not prefix.startswith("86"):
            continue
        english, han = names["en"], names.get("zh", "")
        city, _, province = english.partition(", ")
        city = city.split("/")[0]
        if city in MUNICIPALITIES:
            province = city
        full = short = ""
        for whole, stem in PROVINCES_ZH.items():
            for spelling in (whole, stem):
                if han.startswith(spelling) and len(spelling) > len(short):
                    full, short = whole, spelling
        city_zh = full if city in MUNICIPALITIES else han[len(short):].split("、")[0]
        if city in RENAMED:
            city, city_zh = RENAMED[city]
        raw[prefix] = (province, apostrophe(city), full, city_zh)
    # A province's name in Chinese, where one entry lacks it.
    province_zh = {}
    for province, _, full, _ in raw.values():
        if full:
            province_zh[province] = full
    # A short Chinese name (红河) joins the long one it begins (红河哈尼族彝族自治州).
    by_province = collections.defaultdict(collections.Counter)
    for province, _, _, city_zh in raw.values():
        if city_zh:
            by_province[province][city_zh] += 1
    whole = {}
    for province, names in by_province.items():
        for name in names:
            longer = [n for n in names if n != name and n.startswith(name)]
            whole[province, name] = max(longer, key=lambda n: (names[n], n)) if longer else name
    # One English spelling for each Chinese one: the commonest, without regard to apostrophes.
    english = collections.defaultdict(collections.Counter)
    for province, city, _, city_zh in raw.values():
        english[province, whole.get((province, city_zh), city)][city] += 1
    spelling = {}
    for key, names in english.items():
        best = max(names, key=lambda n: (names[n], n))
        same = [n for n in names if n.replace("'", "") == best.replace("'", "")]
        spelling[key] = max(same, key=lambda n: ("'" in n, n))
    han_of = {}
    for (province, han), city in spelling.items():
        if not han.isascii():
            han_of.setdefault((province, city), han)
    table = {}
    for prefix, (province, city, _, city_zh) in raw.items():
        city = spelling[province, whole.get((province, city_zh), city)]
        table[prefix] = (province, city, province_zh[province], han_of.get((province, city), ""))
    return table


def north_american(name, country):
    if ", " in name:
        city, _, state = name.rpartition(", ")
        city = city.rpartition(", ")[2]  # "Downtown Brooklyn, Brooklyn, NY"
        return (STATES.get(state, ""), city, "", "")
    if country in ("US", "CA") and name in STATE_NAMES:
        province, city = STATE_NAMES[name]
        return (province or "", city or "", "", "")
    if name == "Cayman Islands":  # A country, not a place in it.
        return ("", "", "", "")
    return ("", name.split("/")[0], "", "")


def british(name):
    if name in ("Northern Ireland",):
        return (name, "", "", "")
    if name in ("Jersey", "Guernsey", "Isle of Man"):
        return ("", "", "", "")
    return ("", name.split("/")[0], "", "")


def area_length(code, national, place):
    """Digits of the area code in front of the subscriber's number, 0 where there is none."""
    if code == "1":
        return 3 if place else 0
    if code == "44" and place and national[0] in "12":
        if national[0] == "2":
            return 2
        if national[1] == "1" or national[2] == "1":
            return 3
        return 5 if national[:5] in UK_FIVE else 4
    if code == "86" and place and (national[0] != "1" or national[:2] == "10"):
        return 2 if national[0] in "12" else 3
    return 0


# ---------------------------------------------------------------- zones

def zone_names():
    """The table of zone names: what is there already, then what is new, in order of name."""
    old = []
    if ZONES.exists():
        body = ZONES.read_text().split("pub static NAMES", 1)[1].split("];", 1)[0]
        old = re.findall(r'"([^"]+)"', body)
    listed = {z for zones in TIMEZONE_DATA.values() for z in zones}
    areas = ("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")
    known = {z for z in zoneinfo.available_timezones() if z.partition("/")[0] in areas and "/" in z}
    return old + sorted((listed | known) - set(old))


def zones_between(draw, code, lengths, start, end, zones):
    """The zones of a prefix, and those of its numbers that belong to no place (mobile phones), for
    which the source's own answer is the whole country."""
    found = set(zones)
    for length in lengths:
        width = len(code) + length
        for _ in range(40):
            digits = f"{draw.randrange(start, end):0{DIGITS}}"[:width]
            digits += "".join(draw.choice("0123456789") for _ in range(width - len(digits)))
            national = digits[len(code):]
            parsed = phonenumbers.PhoneNumber(country_code=int(code), national_number=int(national))
            if national.startswith("0"):
                parsed.italian_leading_zero = True
                parsed.number_of_leading_zeros = len(national) - len(national.lstrip("0"))
            if phonenumbers.is_valid_number(parsed):
                found |= set(phonenumbers.timezone.time_zones_for_number(parsed))
    found.discard("Etc/Unknown")
    return tuple(sorted(found))


def write_zones(names):
    order = sorted(range(len(names)), key=lambda i: names[i])
    lines = [
        "//! Names of time zones: [`ZoneId`] is a place in this table.",
        "//!",
        "//! Generated by `crates/core/numbering/generate/generate.py`. The table only ever grows at its end,",
        "//! so that replicas of different releases agree on every id that both know.",
        "",
        "use crate::ZoneId;",
        "",
        "/// The IANA name of a zone; none where the id comes from a newer release than this one.",
        "pub fn name(zone: ZoneId) -> Option<&'static str> {",
        "    NAMES.get(usize::from(zone.0)).copied()",
        "}",
        "",
        "/// The id of a zone by its IANA name (`America/New_York`), upper and lower case as IANA writes it.",
        "pub fn find(name: &str) -> Option<ZoneId> {",
        "    SORTED",
        "        .binary_search_by(|&place| NAMES[usize::from(place)].cmp(name))",
        "        .ok()",
        "        .map(|found| ZoneId(SORTED[found]))",
        "}",
        "",
        "/// How many zones this release knows; ids are below it.",
        "pub const COUNT: usize = NAMES.len();",
        "",
        "/// Every name, by id.",
        "#[rustfmt::skip]",
        f"pub static NAMES: [&str; {len(names)}] = [",
        *(f'    "{name}",' for name in names),
        "];",
        "",
        "/// Every id, by name.",
        "#[rustfmt::skip]",
        f"static SORTED: [u16; {len(names)}] = [",
        *("    " + ", ".join(map(str, order[i:i + 16])) + "," for i in range(0, len(order), 16)),
        "];",
        "",
        "#[cfg(test)]",
        "mod tests {",
        "    use super::*;",
        "",
        "    #[test]",
        "    fn names_and_ids_are_one_to_one() {",
        "        for id in (0..).take(COUNT).map(ZoneId) {",
        "            assert_eq!(find(name(id).unwrap()), Some(id));",
        "        }",
        "        assert_eq!(name(ZoneId(u16::MAX)), None);",
        '        assert_eq!(find("Mars/Olympus"), None);',
        "    }",
        "",
        "    #[test]",
        "    fn ids_never_change() {",
        "        // Replicated state holds ids: these were given in the first release.",
        *(
            f'        assert_eq!(find("{z}"), Some(ZoneId({names.index(z)})));'
            for z in ("Africa/Abidjan", "America/New_York", "Asia/Shanghai", "Europe/London", "Pacific/Kiritimati")
        ),
        "    }",
        "}",
        "",
    ]
    ZONES.write_text("\n".join(lines))


# ---------------------------------------------------------------- tables

def pad(prefix):
    return int(prefix.ljust(DIGITS, "0"))


def main():
    geo = {k: v for k, v in geodata().items() if k.startswith(NAMED) and "en" in v}
    country_of = countries()
    china = chinese(geo)
    names = zone_names()
    zone_id = {name: i for i, name in enumerate(names)}
    edges = {0, 10**DIGITS}
    for table in (geo, country_of, TIMEZONE_DATA, dict.fromkeys("44" + five for five in UK_FIVE)):
        for prefix in table:
            edges.add(pad(prefix))
            edges.add(pad(prefix) + 10 ** (DIGITS - len(prefix)))

    countries_used, zone_sets, places, texts = ["ZZ"], [()], [("ZZ", "", "", "", "")], [""]
    index = {}

    def intern(table, value):
        key = (id(table), value)
        if key not in index:
            if value in table:
                index[key] = table.index(value)
            else:
                table.append(value)
                index[key] = len(table) - 1
        return index[key]

    records, starts, values = [], [], []
    # An area code of North America is geographic when the source lists a place or a zone for it.
    area_codes = {k[:4] for k in (*geo, *TIMEZONE_DATA) if k[0] == "1" and len(k) >= 4}
    draw = random.Random(2)
    lengths = {
        str(code): sorted({
            length
            for region in regions
            if region != "001"
            for length in phonenumbers.PhoneMetadata.metadata_for_region(region).general_desc.possible_length
        })
        for code, regions in CALLING_CODES.items()
    }
    ordered = sorted(edges)
    for edge, end in zip(ordered, ordered[1:]):
        digits = f"{edge:0{DIGITS}}"
        country = longest(country_of, digits) or "ZZ"
        zones = longest(TIMEZONE_DATA, digits) or ()
        calling = next((digits[:n] for n in (1, 2, 3) if digits[:n] in lengths), None)
        # North America's area codes are places, mobile phones too; Britain's zones keep one time.
        if calling not in (None, "1", "44") and zones != TIMEZONE_DATA.get(calling):
            zones = zones_between(draw, calling, lengths[calling], edge, end, zones)
        code = next((c for c in NAMED if digits.startswith(c)), None)
        place, area = ("", "", "", ""), 0
        if code and digits[:len(code)] in country_of:
            names_here = longest(geo, digits)
            if names_here and code == "86":
                place = longest(china, digits)
            elif names_here and code == "44":
                place = british(names_here["en"])
            elif names_here:
                place = north_american(names_here["en"], country)
            found = names_here if code != "1" else digits[:4] in area_codes
            area = area_length(code, digits[len(code):], found)
        record = (
            intern(countries_used, country),
            area,
            intern(zone_sets, tuple(zone_id[z] for z in zones)),
            intern(places, (country, *place)) if any(place) else 0,
        )
        value = intern(records, record)
        if not values or values[-1] != value:
            starts.append(edge)
            values.append(value)
    for table in (records, places, zone_sets):
        assert len(table) < 65_536
    assert len(countries_used) < 256

    TABLES.mkdir(exist_ok=True)
    rows = []
    for _, province, city, province_zh, city_zh in places:
        rows.append([intern(texts, t) for t in (province, city, province_zh, city_zh)])
    assert len(texts) < 65_536
    offsets, blob = [0], b""
    for text in texts:
        blob += text.encode()
        offsets.append(len(blob))
    bucket = [0] * 10_001  # By the first four digits: the first interval that begins there or later.
    at = 0
    for i in range(10_001):
        while at < len(starts) and starts[at] < i * 10 ** (DIGITS - 4):
            at += 1
        bucket[i] = at
    (TABLES / "names.txt").write_bytes(blob)
    (TABLES / "names.bin").write_bytes(struct.pack(f"<{len(offsets)}I", *offsets))
    (TABLES / "places.bin").write_bytes(b"".join(struct.pack("<4H", *row) for row in rows))
    (TABLES / "records.bin").write_bytes(b"".join(struct.pack("<BBHH", *r) for r in records))
    (TABLES / "starts.bin").write_bytes(struct.pack(f"<{len(starts)}I", *starts))
    (TABLES / "values.bin").write_bytes(struct.pack(f"<{len(values)}H", *values))
    (TABLES / "buckets.bin").write_bytes(struct.pack("<10001I", *bucket))

    write_zones(names)
    GENERATED.write_text("\n".join([
        "//! Countries and sets of time zones that `tables/records.bin` points into.",
        "//!",
        "//! Generated by `generate/generate.py` from libphonenumber's data (Apache License 2.0,",
        f"//! Copyright The Libphonenumber Authors), version {phonenumbers.__version__}.",
        "",
        "use domain::ZoneId;",
        "",
        "/// Version of libphonenumber's data in the tables.",
        f'pub(crate) const DATA_VERSION: &str = "{phonenumbers.__version__}";',
        "",
        "/// ISO 3166 codes; `001` has no country, `ZZ` is not assigned.",
        "#[rustfmt::skip]",
        f"pub(crate) static COUNTRIES: [&str; {len(countries_used)}] = [",
        *("    " + " ".join(f'"{c}",' for c in countries_used[i:i + 12]) for i in range(0, len(countries_used), 12)),
        "];",
        "",
        "/// Sets of candidate time zones.",
        "#[rustfmt::skip]",
        f"pub(crate) static ZONE_SETS: [&[ZoneId]; {len(zone_sets)}] = [",
        *("    &[" + ", ".join(f"ZoneId({z})" for z in zones) + "]," for zones in zone_sets),
        "];",
        "",
    ]))
    size = sum(path.stat().st_size for path in TABLES.iterdir())
    print(f"{len(starts)} intervals, {len(records)} records, {len(places)} places, {len(texts)} names,")
    print(f"{len(zone_sets)} sets of zones, {len(names)} zones, {len(countries_used)} countries; {size} bytes")


if __name__ == "__main__":
    main()
