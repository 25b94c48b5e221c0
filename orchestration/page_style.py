"""How pages look: one style sheet, inside every page, for light and dark, for a desk and for a phone.

Cells break between words and nowhere else, so that tables fit where they can; where they cannot, a shadow at
the edge says that there is more.
"""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style>
</head>
<body>{body}</body>
</html>
"""
# Okabe and Ito's colours: blue, orange, green and vermilion, told apart by the colour-blind. In the dark they
# are the lighter ones of the same hues.
STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --quiet: #595959;
  --bridge: #0072b2; --twin: #b36b00; --popularity: #767676; --champion: #b0307f;
  --peer: #00785a; --failed: #b84300; }
@media (prefers-color-scheme: dark) { :root { --quiet: #a8a8a8;
  --bridge: #56b4e9; --twin: #e69f00; --popularity: #b0b0b0; --champion: #e58fc0;
  --peer: #2fc79b; --failed: #ff9a5c; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 1.2rem auto; padding: 0 1rem 3rem;
  overflow-wrap: break-word; }
h1 { font-size: 1.35rem; margin: .4rem 0 .8rem; } h2 { font-size: 1.05rem; margin: 1.5rem 0 .4rem; }
h3 { font-size: .97rem; margin: 1.3rem 0 .3rem; } h4 { font-size: .92rem; margin: 1rem 0 .3rem; }
ul { margin: .4rem 0; padding-left: 1.2rem; } li { margin: .15rem 0; }
.verdict { font-size: 1.08rem; margin: 0; padding: .6rem .9rem; border-left: 5px solid var(--bridge);
  background: color-mix(in srgb, var(--bridge) 10%, transparent); border-radius: 0 6px 6px 0; }
.verdict.twin { border-color: var(--twin); background: color-mix(in srgb, var(--twin) 10%, transparent); }
.verdict.popularity { border-color: var(--popularity);
  background: color-mix(in srgb, var(--popularity) 12%, transparent); }
.verdict.refused { border-color: var(--failed);
  background: color-mix(in srgb, var(--failed) 10%, transparent); }
.held, .failed { list-style: none; text-indent: -1.2em; } .failed { font-weight: 600; color: var(--failed); }
.scroll { overflow-x: auto; max-width: 100%; margin: .4rem 0;
  background: linear-gradient(to right, Canvas 40%, transparent) left / 2.4rem 100% no-repeat local,
    linear-gradient(to left, Canvas 40%, transparent) right / 2.4rem 100% no-repeat local,
    linear-gradient(to right, #888a, transparent) left / .7rem calc(100% - 4px) no-repeat scroll,
    linear-gradient(to left, #888a, transparent) right / .7rem calc(100% - 4px) no-repeat scroll; }
.whole { white-space: nowrap; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .28rem .42rem; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; }
th { font-weight: 600; } thead th { color: var(--quiet); vertical-align: bottom; }
th:first-child, td:first-child { padding-left: .2rem; }
th:first-child, .words { text-align: left; }
td.text, th.text[scope=row] { min-width: 8rem; max-width: 30rem; font-weight: normal; }
@media (max-width: 500px) { th, td { padding: .28rem .35rem; } }
details { border-bottom: 1px solid var(--line); }
section + details { margin-top: 1.4rem; border-top: 1px solid var(--line); }
details[open] { padding-bottom: 1rem; }
summary { cursor: pointer; padding: .6rem 0; } summary h2, summary h3 { display: inline; margin: 0; }
summary:hover { background: var(--soft); }
.panels { display: grid; gap: .6rem 1.6rem; grid-template-columns: repeat(auto-fit, minmax(290px, 1fr)); }
.panels svg { width: 100%; max-width: 25rem; height: auto; display: block; }
.panels text { font-size: 12px; fill: currentColor; }
.panels .quiet { fill: var(--quiet); } .panels .bold { font-weight: 700; }
"""
