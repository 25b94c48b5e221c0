"""For each example a few made-up lines in the data set's own syntax, and the rows that must come of them.

Event rows are (source_line, user, item, moment in UTC, event type, value, quantity), item rows (item, texts).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Rows = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Example:
    """files: path below LANDBRIDGE_DATA -> content (compressed if its name ends in .gz); rows by domain."""

    files: dict[str, bytes]
    events: Rows
    items: Rows
    users: Rows = field(default_factory=dict)


def _lines(*lines: str, encoding: str = "utf-8") -> bytes:
    return "".join(line + "\n" for line in lines).encode(encoding)


FOOD_KITCHEN = Example(
    files={
        "food_kitchen/food_events.csv.gz": _lines("user_id,item_id,timestamp", "A1,B0001,1382659200"),
        "food_kitchen/food_items.jsonl.gz": _lines(
            '{"item_id": "B0001", "title": "Jalape\\u00f1o \\"hot\\" chips"}'
        ),
        "food_kitchen/kitchen_events.csv.gz": _lines("user_id,item_id,timestamp", "A1,B0002,959817600"),
        "food_kitchen/kitchen_items.jsonl.gz": _lines('{"item_id": "B0002", "title": null}'),
    },
    events={
        "food": [(2, "A1", "B0001", "2013-10-25 00:00:00", None, None, None)],
        "kitchen": [(2, "A1", "B0002", "2000-06-01 00:00:00", None, None, None)],
    },
    items={"food": [("B0001", ['Jalapeño "hot" chips'])], "kitchen": [("B0002", [None])]},
)

AMAZON_2014 = Example(
    files={
        "amazon_2014/reviews_Movies_and_TV_5.json.gz": _lines(
            '{"reviewerID": "ADZPIG9QOCDG5", "asin": "0005019281", "reviewerName": "Alice \\"al\\" L.", '
            '"helpful": [0, 1], "reviewText": "A charming one,\\nseen twice", "overall": 4.0, '
            '"summary": "good", "unixReviewTime": 1203984000, "reviewTime": "02 26, 2008"}',
            '{"reviewerID": "A35947ZP82G7JH", "asin": "0005019281", "helpful": [0, 0], "reviewText": "", '
            '"overall": 3.0, "summary": "ok", "unixReviewTime": 1388361600, "reviewTime": "12 30, 2013"}',
        ),
        "amazon_2014/meta_Movies_and_TV.json.gz": _lines(
            "{'asin': '0005019281', 'categories': [['Movies & TV', 'Movies'], ['Holiday']], "
            "'title': \"An Amateur's Christmas\", 'description': 'The \\'60s, in \"colour\" \\xe9', "
            "'price': 26.49, 'salesRank': {'Movies & TV': 60080}, 'related': {'also_bought': ['B0']}, "
            "'brand': None}",
            "{'asin': '0005119367', 'categories': [['Movies & TV']], 'title': 'Joseph'}",
        ),
        "amazon_2014/reviews_CDs_and_Vinyl_5.json.gz": _lines(
            '{"reviewerID": "ADZPIG9QOCDG5", "asin": "0307141985", "helpful": [0, 0], "reviewText": "-", '
            '"overall": 1.0, "summary": "-", "unixReviewTime": 1135814400, "reviewTime": "12 29, 2005"}'
        ),
        "amazon_2014/meta_CDs_and_Vinyl.json.gz": _lines(
            "{'asin': '0307141985', 'title': 'Psych\\u00e9', 'brand': 'Aldous', 'categories': [['Vinyl']], "
            "'description': ''}"
        ),
    },
    events={
        "films": [
            (1, "ADZPIG9QOCDG5", "0005019281", "2008-02-26 00:00:00", "like", "4.0", None),
            (2, "A35947ZP82G7JH", "0005019281", "2013-12-30 00:00:00", "meh", "3.0", None),
        ],
        "records": [(1, "ADZPIG9QOCDG5", "0307141985", "2005-12-29 00:00:00", "dislike", "1.0", None)],
    },
    items={
        "films": [
            (
                "0005019281",
                ["An Amateur's Christmas", 'The \'60s, in "colour" é', None, "Movies & TV, Movies, Holiday"],
            ),
            ("0005119367", ["Joseph", None, None, "Movies & TV"]),
        ],
        "records": [("0307141985", ["Psyché", "", "Aldous", "Vinyl"])],
    },
)

AMAZON_2018 = Example(
    files={
        "amazon_2018/Digital_Music_5.json.gz": _lines(
            '{"overall": 5.0, "vote": "3", "verified": true, "reviewTime": "12 22, 2013", '
            '"reviewerID": "A1ZCPG3D3HGRSS", "asin": "B00MUSIC01", "style": {"Format:": " Audio CD"}, '
            '"reviewerName": "mark", "reviewText": "great", "summary": "Great CD", '
            '"unixReviewTime": 1387670400}',
            '{"overall": 2.0, "verified": false, "reviewTime": "06 3, 2012", "reviewerID": "AC2PL52", '
            '"asin": "B00MUSIC02", "summary": "no", "unixReviewTime": 1338681600}',
        ),
        "amazon_2018/meta_Digital_Music.json.gz": _lines(
            '{"category": [], "tech1": "", "description": ["1. Losing Game", "2. I Can\'t Wait"], "fit": "", '
            '"title": "Master Collection", "also_buy": ["B00MUSIC02"], "tech2": "", "brand": "Sylvester", '
            '"feature": [], "rank": "58,291 in CDs", "details": {}, "price": "$20.00", "asin": "B00MUSIC01"}'
        ),
        "amazon_2018/Musical_Instruments_5.json.gz": _lines(
            '{"overall": 3.0, "reviewerID": "A1ZCPG3D3HGRSS", "asin": "B00TUNER01", '
            '"unixReviewTime": 1514764800}'
        ),
        "amazon_2018/meta_Musical_Instruments.json.gz": _lines(
            '{"category": ["Instruments", "Tuners"], "description": [], "title": "Tuner", '
            '"brand": "", "feature": ["Clips on", "Bright \\u201cLED\\u201d"], "asin": "B00TUNER01"}'
        ),
    },
    events={
        "songs": [
            (1, "A1ZCPG3D3HGRSS", "B00MUSIC01", "2013-12-22 00:00:00", "like", "5.0", None),
            (2, "AC2PL52", "B00MUSIC02", "2012-06-03 00:00:00", "dislike", "2.0", None),
        ],
        "instruments": [(1, "A1ZCPG3D3HGRSS", "B00TUNER01", "2018-01-01 00:00:00", "meh", "3.0", None)],
    },
    items={
        "songs": [
            ("B00MUSIC01", ["Master Collection", "1. Losing Game 2. I Can't Wait", "", "Sylvester", ""])
        ],
        "instruments": [("B00TUNER01", ["Tuner", "", "Clips on Bright “LED”", "", "Instruments, Tuners"])],
    },
)

AMAZON_2023 = Example(
    files={
        "amazon_2023/All_Beauty.jsonl.gz": _lines(
            '{"rating": 5.0, "title": "Such a lovely scent", "text": "Not overpowering.<br />Nice", '
            '"images": [], "asin": "B00YQ6X8EO", "parent_asin": "B00PARENT1", "user_id": "AGKHLEW2SOWHNMFQ", '
            '"timestamp": 1588687728923, "helpful_vote": 0, "verified_purchase": true}'
        ),
        "amazon_2023/meta_All_Beauty.jsonl.gz": _lines(
            '{"main_category": "All Beauty", "title": "Leave-In", "average_rating": 4.8, "features": [], '
            '"description": ["Howard", "oil"], "price": null, "images": [{"variant": "MAIN"}], "videos": [], '
            '"store": "Howard Products", "categories": [], "details": {"UPC": "61"}, '
            '"parent_asin": "B00PARENT1", "bought_together": null}'
        ),
        "amazon_2023/Health_and_Personal_Care.jsonl.gz": _lines(
            '{"rating": 1.0, "title": "No", "text": "\\ud83d\\ude1e", "asin": "B07", '
            '"parent_asin": "B00PARENT2", "user_id": "AGKHLEW2SOWHNMFQ", "timestamp": 1588687728000}'
        ),
        "amazon_2023/meta_Health_and_Personal_Care.jsonl.gz": _lines(
            '{"title": "Brush", "features": ["soft"], "description": [], "store": null, '
            '"parent_asin": "B00PARENT2"}'
        ),
    },
    events={
        "beauty": [
            (1, "AGKHLEW2SOWHNMFQ", "B00PARENT1", "2020-05-05 14:08:48.923", "like", "5.0", None),
        ],
        "health": [(1, "AGKHLEW2SOWHNMFQ", "B00PARENT2", "2020-05-05 14:08:48", "dislike", "1.0", None)],
    },
    items={
        "beauty": [("B00PARENT1", ["Leave-In", "", "Howard oil", "Howard Products"])],
        "health": [("B00PARENT2", ["Brush", "soft", "", None])],
    },
)

MOVIELENS_LATEST = Example(
    files={
        "movielens_small/ratings.csv": _lines(
            "userId,movieId,rating,timestamp",
            "1,31,2.5,1260759144",
            "1,11,3.5,1260759179",
            "2,31,4.0,835355493",
        ),
        "movielens_small/movies.csv": _lines(
            "movieId,title,genres",
            '11,"American President, The (1995)",Comedy|Drama|Romance',
            '31,"""Great Performances"" Cats (1998)",(no genres listed)',
            "32,Misérables (1995),Drama",
        ),
    },
    events={
        "films": [
            (2, "1", "31", "2009-12-14 02:52:24", "dislike", "2.5", None),
            (3, "1", "11", "2009-12-14 02:52:59", "meh", "3.5", None),
            (4, "2", "31", "1996-06-21 11:11:33", "like", "4.0", None),
        ]
    },
    items={
        "films": [
            ("11", ["American President, The (1995)", "Comedy, Drama, Romance"]),
            ("31", ['"Great Performances" Cats (1998)', None]),
            ("32", ["Misérables (1995)", "Drama"]),
        ]
    },
)

MOVIELENS_1M = Example(
    files={
        "ml-1m/ratings.dat": _lines("1::1193::5::978300760", "1::661::3::978302109", "2::73::2::978298413"),
        "ml-1m/movies.dat": _lines(
            "73::Misérables, Les (1995)::Drama|Musical",
            '661::James and the "Giant" Peach: a tale (1996)::Animation',
            encoding="latin-1",
        ),
        "ml-1m/users.dat": _lines("1::F::1::10::48067", "2::M::56::16::70072"),
    },
    events={
        "films": [
            (1, "1", "1193", "2000-12-31 22:12:40", "like", "5", None),
            (2, "1", "661", "2000-12-31 22:35:09", "meh", "3", None),
            (3, "2", "73", "2000-12-31 21:33:33", "dislike", "2", None),
        ]
    },
    items={
        "films": [
            ("661", ['James and the "Giant" Peach: a tale (1996)', "Animation"]),
            ("73", ["Misérables, Les (1995)", "Drama, Musical"]),
        ]
    },
    users={
        "films": [
            ("1", {"gender": "F", "age": "1", "occupation": "10"}),
            ("2", {"gender": "M", "age": "56", "occupation": "16"}),
        ]
    },
)

RECBOLE = Example(
    files={
        "recbole/ml-100k/ml-100k.inter": _lines(
            "user_id:token\titem_id:token\trating:float\ttimestamp:float",
            "196\t242\t3\t881250949",
            "186\t302\t4\t891717742.0",
        ),
        "recbole/ml-100k/ml-100k.item": _lines(
            "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq",
            '242\tKolya "the boy", or so\t1996\tComedy',
            "302\tL.A. Confidential\t\tCrime Film-Noir",
        ),
        "recbole/ml-100k/ml-100k.user": _lines(
            "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token",
            "196\t49\tM\twriter\t55105",
        ),
    },
    events={
        "films": [
            (2, "196", "242", "1997-12-04 15:55:49", "meh", "3", None),
            (3, "186", "302", "1998-04-04 19:22:22", "like", "4", None),
        ]
    },
    items={
        "films": [
            ("242", ['Kolya "the boy", or so', "1996", "Comedy"]),
            ("302", ["L.A. Confidential", "", "Crime Film-Noir"]),
        ]
    },
    users={"films": [("196", {"age:token": "49", "gender:token": "M", "occupation:token": "writer"})]},
)

ONLINE_RETAIL = Example(
    files={
        "online_retail/online_retail.csv.gz": _lines(
            "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country",
            "536365,15056bl,EDWARDIAN PARASOL BLACK,6,12/1/10 8:26,2.55,17850.0,United Kingdom",
            "C536379,15056BL,EDWARDIAN PARASOL BLACK,-1,12/1/10 9:41,2.55,17850.0,United Kingdom",
            '536370,22728,"ALARM CLOCK BAKELIKE ""PINK"", RED",24,12/1/10 8:45,3.75,12583.0,France',
            "536589,21777,,-10,12/31/10 16:50,0.0,,United Kingdom",
            "536370,POST,POSTAGE,3,12/1/10 8:45,18.0,12583.0,France",
        )
    },
    events={
        "united_kingdom": [
            (2, "17850", "15056BL", "2010-12-01 08:26:00", "purchase", "2.55", "6"),
            (3, "17850", "15056BL", "2010-12-01 09:41:00", "cancel", "2.55", "-1"),
            (5, "", "21777", "2010-12-31 16:50:00", "cancel", "0.0", "-10"),
        ],
        "abroad": [
            (4, "12583", "22728", "2010-12-01 08:45:00", "purchase", "3.75", "24"),
            (6, "12583", "POST", "2010-12-01 08:45:00", "purchase", "18.0", "3"),
        ],
    },
    items={
        domain: [
            ("15056BL", ["EDWARDIAN PARASOL BLACK"]),
            ("22728", ['ALARM CLOCK BAKELIKE "PINK", RED']),
            ("POST", ["POSTAGE"]),
        ]
        for domain in ("united_kingdom", "abroad")
    },
)

COMPLETE_JOURNEY = Example(
    files={
        "complete_journey/transactions.csv.gz": _lines(
            "user_id,item_id,basket,qty,sales,week,timestamp,department",
            "2261,940996,31625220889,1.0,3.86,5,1485630413,MEAT-PCKGD",
            "2131,873902,32053127496,2.0,1.59,10,1488339117,GROCERY",
            "511,847901,32445856036,1.0,1.0,13,1490548941,DELI",
            "511,847902,32445856036,1.0,1.0,13,1490548941,PRODUCE",
            "511,847903,32445856036,1.0,0.0,13,1490548941,DRUG GM",
            "511,5978656,32445856036,0.0,0.0,13,1490548941,",
            "511,6534178,32445856036,9900.0,24.8,13,1490548941,FUEL",
        ),
        "complete_journey/products.csv.gz": _lines(
            "item_id,department,brand,category,ptype,size",
            "25671,GROCERY,National,FRZN ICE,ICE - CRUSHED/CUBED,22 LB",
            "25672,GROCERY,National,COUPON/MISC ITEMS,COUPON,",
            "26093,PASTRY,Private,BREAD,BREAD:ITALIAN/FRENCH,",
            "940996,MEAT-PCKGD,Private,BACON,,1 LB",
        ),
    },
    events={
        "deli": [(4, "511", "847901", "2017-03-26 17:22:21", None, "1.0", "1.0")],
        "drugstore": [(6, "511", "847903", "2017-03-26 17:22:21", None, "0.0", "1.0")],
        "grocery": [(3, "2131", "873902", "2017-03-01 03:31:57", None, "1.59", "2.0")],
        "meat": [(2, "2261", "940996", "2017-01-28 19:06:53", None, "3.86", "1.0")],
        "produce": [(5, "511", "847902", "2017-03-26 17:22:21", None, "1.0", "1.0")],
    },
    items={
        "grocery": [("25671", ["ICE - CRUSHED/CUBED", "FRZN ICE", "National", "22 LB"])],
        "meat": [("940996", ["", "BACON", "Private", "1 LB"])],
    },
)

# Two files of the examples above, read as one configuration; the shop's countries are one domain here.
FILMS_TO_RETAIL = Example(
    files=MOVIELENS_LATEST.files | ONLINE_RETAIL.files,
    events=MOVIELENS_LATEST.events
    | {"shop": sorted(r for rows in ONLINE_RETAIL.events.values() for r in rows)},
    items=MOVIELENS_LATEST.items | {"shop": ONLINE_RETAIL.items["abroad"]},
)

EXAMPLES = {
    "amazon_2014": AMAZON_2014,
    "amazon_2018": AMAZON_2018,
    "amazon_2023": AMAZON_2023,
    "complete_journey": COMPLETE_JOURNEY,
    "films_to_retail": FILMS_TO_RETAIL,
    "food_kitchen": FOOD_KITCHEN,
    "movielens_1m": MOVIELENS_1M,
    "movielens_latest": MOVIELENS_LATEST,
    "online_retail": ONLINE_RETAIL,
    "recbole": RECBOLE,
}
