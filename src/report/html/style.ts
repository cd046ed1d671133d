/** How the page looks, in light, in dark and on paper. */
import { Markup } from "./markup.js";

export const style = new Markup(`
:root{color-scheme:light dark;--ground:#fff;--ink:#1c2430;--soft:#5c6675;--line:#dfe3e8;--good:#15803d;--bad:#b42318;--warn:#92600a;
--c0:#2563eb;--c1:#d9480f;--c2:#15803d;--c3:#9333ea;--c4:#0e7490;--c5:#be185d;--c6:#7c5e10;--c7:#475569}
@media (prefers-color-scheme:dark){:root{--ground:#12161c;--ink:#e4e8ee;--soft:#9aa5b4;--line:#2b333d;--good:#4ade80;--bad:#f97066;--warn:#fbbf24;
--c0:#6ea8fe;--c1:#ff9466;--c2:#4ade80;--c3:#c084fc;--c4:#22d3ee;--c5:#f472b6;--c6:#d6b656;--c7:#a8b3c2}}
*{box-sizing:border-box}
body{margin:0 auto;padding:24px 20px 60px;max-width:1000px;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.6em;margin:0 0 4px}h2{font-size:1.2em;margin:36px 0 10px;border-bottom:1px solid var(--line);padding-bottom:4px}h3{font-size:1em;margin:22px 0 6px}
p{margin:6px 0}.soft,figcaption,th,.tick{color:var(--soft)}.wide{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}th,td{padding:4px 14px 4px 0;text-align:right;border-bottom:1px solid var(--line);font-weight:400;vertical-align:top}
th:first-child,td:first-child,.left{text-align:left}td.best{font-weight:600}
td.text{text-align:left;overflow-wrap:anywhere}.up{color:var(--good)}.down,.error,.lost{color:var(--bad)}.warning{color:var(--warn)}
code,pre{font:13px/1.45 ui-monospace,monospace}pre{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid var(--line);padding:10px;max-height:60vh;overflow:auto}
summary{cursor:pointer;padding:4px 0}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:10px 24px}figure{margin:8px 0}svg{width:100%;height:auto;display:block}
.tick{font-size:12px;fill:var(--soft)}.grid{stroke:var(--line)}.event{stroke:var(--soft);stroke-dasharray:3 3}
.line{fill:none;stroke:var(--c);stroke-width:1.8;stroke-linejoin:round}.band{fill:var(--c);opacity:.16}.dot{fill:var(--c)}.mark{fill:none;stroke:var(--c);stroke-width:2}
.bar{fill:var(--c)}.bar.up{fill:var(--good)}.bar.down{fill:var(--bad)}.bar.same{fill:var(--soft)}
.legend{margin-left:12px}.key{margin-right:12px}.key::before{content:"";display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:5px;background:var(--c)}
.c0{--c:var(--c0)}.c1{--c:var(--c1)}.c2{--c:var(--c2)}.c3{--c:var(--c3)}.c4{--c:var(--c4)}.c5{--c:var(--c5)}.c6{--c:var(--c6)}.c7{--c:var(--c7)}
@media print{body{max-width:none}pre{max-height:none}}
`);
