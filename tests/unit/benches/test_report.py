"""What a bench says is what it found: medians, ratios the right way round, one run a bench."""

import json
from pathlib import Path
from xml.etree import ElementTree

from bench import report
from bench.chart import chart
from bench.figures import Figure, Results
from bench.ways import ISTHMUS, NO_VPN, OPENVPN

RATE, COST = "IPv4, 1 stream", "IPv4, 1 stream, daemons"


def found() -> Results:
    results = Results()
    for values in ((10_000.0, 4_000.0, 500.0), (9_000.0, 3_000.0, 600.0), (1.0, 5_000.0, 400.0)):
        for subject, value in zip((NO_VPN, ISTHMUS, OPENVPN), values, strict=True):
            setup = "" if subject == NO_VPN else "AES-128-GCM"
            results.add(subject, Figure("throughput", setup, RATE, value, "Mbit/s"))
    for subject, cost in ((ISTHMUS, 0.5), (OPENVPN, 2.0)):
        results.add(subject, Figure("processor", "AES-128-GCM", COST, cost, "s/Gbit"))
    return results


def line(text: str, subject: str) -> str:
    (only,) = [line for line in text.splitlines() if line.strip().startswith(subject)]
    return only


def test_a_table_has_the_median_and_not_the_mean_of_a_busy_moment() -> None:
    text = report.table(RATE, found().series("throughput"))
    assert "4 000" in line(text, ISTHMUS) and "3 000 - 5 000" in line(text, ISTHMUS)
    assert "9 000" in line(text, NO_VPN)
    assert "0.44 x" in line(text, ISTHMUS)


def test_ratios_say_how_much_better_isthmus_is_also_where_less_is_better() -> None:
    assert "8.00 x" in line(report.table(RATE, found().series("throughput")), OPENVPN)
    assert "4.00 x" in line(report.table(COST, found().series("processor")), OPENVPN)


def test_a_figure_may_be_of_the_other_end() -> None:
    results = Results()
    results.add(ISTHMUS, Figure("handshakes", "", "PSK", 1.0, "ms", OPENVPN))
    assert [series.subject for series in results.series()] == [OPENVPN]


def test_a_bench_that_runs_again_replaces_all_of_its_rows_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "results" / "latest.json"
    report.write(path, report.rows(found(), {"load": "0.10"}))
    again = Results()
    again.add(ISTHMUS, Figure("throughput", "AES-128-GCM", RATE, 7.0, "Mbit/s"))
    report.write(path, report.merged(report.read(path), report.rows(again, {"load": "0.20"})))
    rows = json.loads(path.read_text())
    assert {tuple(sorted(row)) for row in rows} == {
        ("bench", "runs", "subject", "unit", "value", "variant")
    }
    rates = [row for row in rows if row["bench"] == "throughput"]
    assert [row["value"] for row in rates if row["variant"] != report.FACT] == [7.0]
    assert [row["subject"] for row in rates if row["variant"] == report.FACT] == ["load: 0.20"]
    assert report.told(rows, "load") == ["0.10", "0.20"]
    assert len([row for row in rows if row["bench"] == "processor"]) == 3


def test_bars_of_the_chart_are_as_long_as_their_figures() -> None:
    rows = [row for row in report.rows(found(), {}) if row["bench"] == "throughput"]
    root = ElementTree.fromstring(chart(rows, "a <note>"))
    space = "{http://www.w3.org/2000/svg}"
    width = {bar.get("class"): float(bar.get("width", 0)) for bar in root.iter(f"{space}rect")}
    assert abs(width["own"] / width["clear"] - 4_000 / 9_000) < 0.01
    texts = [text.text for text in root.iter(f"{space}text")]
    assert "a <note>" in texts and "TCP, one stream: Gbit/s" in texts
    assert "TCP, four streams: Gbit/s" not in texts


def test_the_chart_shows_isthmus_first_and_no_vpn_last() -> None:
    texts = [t.text for t in ElementTree.fromstring(chart(report.rows(found(), {}), "")).iter()]
    subjects = [text for text in texts if text in (ISTHMUS, OPENVPN, NO_VPN)]
    assert subjects[:3] == [ISTHMUS, OPENVPN, NO_VPN]
