"""The page's style sheet: light, dark and print, without a font or a picture from elsewhere."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1b1f24;--soft:#57606a;--line:#d0d7de;--box:#f6f8fa;--blue:#0757a8;
--band:#0757a833;--good:#116329;--bad:#b3261e;--warn:#8a5300}
@media (prefers-color-scheme:dark){:root{--paper:#12161b;--ink:#e6edf3;--soft:#9ba7b4;--line:#3a434d;--box:#1b2128;
--blue:#74b3ff;--band:#74b3ff3d;--good:#5fd180;--bad:#ff8a80;--warn:#f0b866}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:62rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.6rem;line-height:1.25;margin:.2rem 0}
h2{font-size:1.25rem;margin:2.2rem 0 .6rem;border-bottom:1px solid var(--line)}
h3{font-size:1.05rem;margin:1.6rem 0 .3rem}
h4{font-size:1rem;margin:1rem 0 .2rem}
p{margin:.4rem 0}
h1,h2,h3,h4,p,li,dt,dd,label,summary,figcaption{overflow-wrap:anywhere}
a{color:var(--blue)}
code{font:.9em ui-monospace,monospace;overflow-wrap:anywhere}
.verdict{font-size:1.1rem;border-left:.4rem solid var(--soft);background:var(--box);padding:.7rem 1rem;
overflow-wrap:anywhere}
.verdict.promoted{border-color:var(--good)}
.verdict.rolled-back,.verdict.rejected,.verdict.failed{border-color:var(--bad)}
.verdict.blocked,.verdict.superseded,.verdict.open{border-color:var(--warn)}
.badge{font-weight:600}
.badge.pass{color:var(--good)}.badge.fail{color:var(--bad)}.badge.inconclusive,.badge.no-data{color:var(--warn)}
.soft{color:var(--soft)}
figure{margin:.5rem 0 1rem}
figcaption{color:var(--soft);font-size:.9rem}
svg{display:block;width:100%;height:auto;background:var(--box);border:1px solid var(--line);overflow:hidden}
svg text{font:12px system-ui,sans-serif;fill:var(--soft)}
svg path,svg polyline{fill:none;stroke:var(--line)}
svg .axis{stroke:var(--soft)}
svg .same{stroke:var(--soft);stroke-dasharray:2 3}
svg .band{fill:var(--band);stroke:none}
svg .band-line{stroke:var(--blue);stroke-width:2}
svg .effect,svg .weight{stroke:var(--blue);stroke-width:2}
svg .dot{fill:var(--blue)}
svg .margin{stroke:var(--bad);stroke-width:2;stroke-dasharray:8 4}
svg .margin-label{fill:var(--bad)}
svg .mark path{stroke:var(--soft);stroke-dasharray:1 4}
svg .mark text{fill:var(--ink)}
svg .mark.roll-back text{fill:var(--bad)}
.scroll{max-height:22rem;overflow:auto;border:1px solid var(--line)}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);padding:.3rem .5rem}
th,td{text-align:left;vertical-align:top;padding:.25rem .5rem;border-top:1px solid var(--line);overflow-wrap:anywhere}
thead th{position:sticky;top:0;background:var(--box)}
td.n,th.n{text-align:right;white-space:nowrap}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:.5rem 0}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
:focus-visible{outline:3px solid var(--blue);outline-offset:2px}
@media (max-width:40rem){dl{grid-template-columns:1fr}dt{margin-top:.4rem}}
@media print{:root{color-scheme:light;--paper:#fff;--ink:#000;--soft:#444;--line:#bbb;--box:#fff;--blue:#0757a8;
--band:#0757a833;--good:#116329;--bad:#b3261e;--warn:#8a5300}
main{max-width:none;padding:0}.scroll{max-height:none;overflow:visible;border:0}thead th{position:static}
h2,h3,h4,figcaption{break-after:avoid}figure,tr{break-inside:avoid}a[href^=http]::after{content:" (" attr(href) ")"}}
"""
