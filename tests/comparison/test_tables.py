"""One table in three markups."""

from __future__ import annotations

from selfprompt.reports.table import Column, comma_separated, latex, markdown, spread

COLUMNS = (Column("method", lambda r: r["method"]), Column("accuracy, %", lambda r: f"{r['mean']:.1f} ± 0.1"))
ROWS = [{"method": "spt:prompt_rms=0.1", "mean": 90.0}]


def test_markups() -> None:
    assert markdown(COLUMNS, ROWS) == (
        "| method | accuracy, % |\n| --- | --- |\n| spt:prompt_rms=0.1 | 90.0 ± 0.1 |\n"
    )
    assert comma_separated(COLUMNS, ROWS) == 'method,"accuracy, %"\nspt:prompt_rms=0.1,90.0 ± 0.1\n'
    assert r"method & accuracy, \% \\" in latex(COLUMNS, ROWS)
    assert r"spt:prompt\_rms=0.1 & 90.0 $\pm$ 0.1 \\" in latex(COLUMNS, ROWS)


def test_one_seed_has_no_deviation() -> None:
    assert [spread(90.04, 0.0, seeds) for seeds in (1, 2)] == ["90.0", "90.0 ± 0.0"]
