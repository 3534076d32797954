"""`absdomain certify`: the errors of a network on its test images, seen and proved."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from absdomain.cli import options as option
from absdomain.report.runs import check_of, subject_of, use
from absdomain.runtime.progress import speaks


def certify(
    run: option.Run = None,
    weights: option.WeightsFile = None,
    network: option.Network = None,
    data: option.Data = None,
    eps: option.Eps = None,
    clip: option.Clip = None,
    domain: option.Domains = None,
    cascade: option.Cascade = False,
    steps: option.Steps = 40,
    restarts: option.Restarts = 2,
    attack: option.Attack = "",
    count_ties: option.Ties = False,
    margin: option.Margin = None,
    executed: option.Executed = None,
    certificates: Annotated[
        bool, typer.Option("--certificates", help="Write a certificate for each image, for `absdomain check`.")
    ] = False,
    subset: option.Subset = None,
    curve: option.Curve = None,
    seed: option.Seed = 0,
    model: option.Model = "model",
    out: option.Results = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Write report.html into the folder, too.")] = False,
    batch: option.Batch = 100,
    data_dir: option.DataDir = None,
    device: option.Device = "auto",
    threads: option.Threads = None,
    scheduler: option.Scheduler = None,
    workers: option.Workers = None,
) -> None:
    """Certify the test images: clean, PGD and verified error. The same command again resumes.

    eps and the data set are by default those of the training. Bounds are computed in double precision, and a bound
    within rounding of 0 is no proof. The folder gets config.json, verdicts.jsonl, results.json and the plots.

    `absdomain certify RUN --eps 0.3 --domain crown-ibp --domain "box & deeppoly"`

    `absdomain certify net.onnx --data images.npz --eps 8/255`
    """
    from absdomain.report import tables
    from absdomain.report.study import study
    from absdomain.runtime.cluster import opened

    cluster = option.cluster_of(scheduler, workers)
    device = use(option.threads_of(threads, cluster), device)
    subject = subject_of(run, weights, data, model, network, data_dir)
    check = check_of(
        subject, eps, clip, domain, cascade=cascade, steps=steps, restarts=restarts, attacked=attack,
        strict=not count_ties, margin=margin, subset=subset, curve=curve, seed=seed,
        executed=None if executed is None else str(executed),
    )  # fmt: skip
    with opened(cluster, "certify") as mapper:
        outcome = study(
            subject, check, out=out, data_dir=data_dir, device=device, batch=batch, certificates=certificates,
            cluster=mapper,
        )  # fmt: skip
    if not speaks():
        return
    if report:
        from absdomain.report import page
        from absdomain.report.reporting import report as written
        from absdomain.runtime.writing import replace

        replace(outcome.folder / "report.html", written(outcome.folder, data_dir=data_dir), page.ours)
    if as_json:
        typer.echo(json.dumps(outcome.results))
        return
    title = f"{subject.name}, {subject.data}, eps {check.eps:g}{', clipped' if check.clip else ''}"
    tables.show(tables.errors_table(outcome.summary, check.spelling(), title))
    typer.echo(f"verdicts and plots: {outcome.folder}")
    if outcome.certificates:
        typer.echo(outcome.certificates)
    if report:
        typer.echo(f"report: {outcome.folder / 'report.html'}")
