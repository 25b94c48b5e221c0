"""Column names, in one place: a table that crosses a module boundary uses these words and no others."""

DOMAIN = "domain"
USER_ID = "user_id"
ITEM_ID = "item_id"
EVENT_TIME = "event_time"  # timestamp[us], UTC
WEIGHT = "weight"
TITLE = "title"
TEXT_HASH = "text_hash"
SENTIMENT = "sentiment"  # of a review: -1 is the worst, 1 the best
SCORE = "score"
RANK = "rank"  # 1 is best
REASON = "reason"
CROSSED = "crossed"  # of a recommendation: the share of what speaks for it that came from other domains
COHORT = "cohort"
AVAILABLE = "available"  # of an item: null says nothing, and counts as available
CATEGORY = "category"
REGIONS = "regions"  # where an item is sold; null or none means everywhere
