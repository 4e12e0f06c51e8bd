use super::*;

/// The steps of a Dockerfile as `LINE! text → becomes`; `!` marks those that the image would lack. The build directory
/// has everything but `elsewhere`, and the project requires dagster.
fn read(text: &str) -> (Recipe, Vec<String>) {
    let facts = Facts {
        find: &|path| match path {
            path if path.contains("elsewhere") => None,
            path if path.starts_with("above") => Some(Found {
                path: format!("../{path}"),
                is_file: true,
                is_inside: false,
                is_installed: false,
            }),
            path => Some(Found::inside(path)),
        },
        adds: &|path| path.starts_with("/included"),
        requires: &|name| name == "dagster",
        chooses: false,
    };
    let dockerfile = Dockerfile::parse(text).unwrap();
    let recipe = judge::judge(&dockerfile, Path::new("Dockerfile"), &facts);
    let shown = recipe.steps.iter().map(|step| {
        format!("{}{} {} → {}", step.line, if step.is_needed { "!" } else { "" }, step.text, step.becomes)
    });
    let shown = shown.collect();
    (recipe, shown)
}

fn needed(text: &str) -> Vec<String> {
    read(text)
        .1
        .into_iter()
        .filter(|step| step.split(' ').next().is_some_and(|mark| mark.ends_with('!')))
        .collect()
}

#[test]
fn usual_dockerfiles_need_nothing_else() {
    for text in [
        // As Dagster+ Serverless builds.
        "FROM public.ecr.aws/docker/library/python:3.11-slim\nCOPY *dagster_cloud_pre_install.sh *setup.py *requirements.txt /\n\
         RUN if [ -f \"dagster_cloud_pre_install.sh\" ]; then \\\n ./dagster_cloud_pre_install.sh; \\\n fi\n\
         RUN if [ -f \"setup.py\" ]; then pip install .; fi\nWORKDIR /opt/dagster/app\nCOPY . /opt/dagster/app\n\
         RUN if [ -f \"requirements.txt\" ]; then pip install -r requirements.txt; fi\n\
         RUN if ! dagster-cloud --version; then echo \"not there\"; exit 1; fi\n",
        // As dg scaffolds.
        "FROM ghcr.io/astral-sh/uv:python3.12-bookworm-slim AS builder\nENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy\n\
         WORKDIR /app\nRUN --mount=type=cache,target=/root/.cache/uv \\\n  --mount=type=bind,source=uv.lock,target=uv.lock \\\n\
         \x20 uv sync --frozen --no-install-project --no-dev\nADD . /app\nRUN uv sync --frozen --no-dev --package x\n\
         FROM python:3.12-slim-bookworm\nCOPY --from=builder /app /app\nENV PATH=\"/app/.venv/bin:$PATH\"\nWORKDIR /app\n",
        "FROM python:3.12-slim\nCOPY --from=ghcr.io/astral-sh/uv:latest /uv /uvx /bin/\nWORKDIR /app\nCOPY pyproject.toml uv.lock ./\n\
         RUN uv sync --frozen\nCOPY src/ ./src/\nEXPOSE 4000\n",
        "FROM python:3.10-slim as base\nRUN pip install --upgrade pip setuptools && pip install --no-cache-dir poetry==1.8.2\n\
         FROM base\nWORKDIR /opt/dagster/app\nCOPY poetry.lock pyproject.toml README.md ./\n\
         RUN poetry config virtualenvs.create false \\\n && poetry install --no-interaction --no-ansi --without dev\nCOPY . .\n",
        "FROM python:3.11\nADD requirements.txt requirements.txt\nRUN pip install -r requirements.txt\nADD . .\nRUN pip install -e .\n",
        "FROM python:3.11\nRUN <<EOF\nset -e\npython -m pip install dagster\nEOF\nENV DAGSTER_HOME=/opt/dagster/dagster_home/\n\
         RUN mkdir -p $DAGSTER_HOME\n",
        "FROM python:3.11 AS builder\nRUN apt-get update && apt-get install -y gcc libpq-dev\nWORKDIR /app\nCOPY . .\n\
         RUN python -m venv /opt/venv && /opt/venv/bin/pip install -r requirements.txt\n\
         FROM python:3.11-slim\nCOPY --from=builder /opt/venv /opt/venv\nENV VIRTUAL_ENV=/opt/venv PATH=/opt/venv/bin:$PATH\n\
         WORKDIR /opt/dagster/app\nCOPY --chown=1000:1000 . .\n",
    ] {
        assert_eq!(needed(text), Vec::<String>::new(), "{text}");
        assert!(read(text).0.base.is_some(), "{text}");
    }
}

#[test]
fn the_base_is_that_of_the_last_stage() {
    for (text, want) in [
        ("FROM a\nFROM b", Some(("b", None, 2))),
        ("FROM a AS x\nFROM b AS y\nFROM x", Some(("a", None, 1))),
        ("FROM a\nFROM 0", Some(("a", None, 1))),
        ("ARG V=3.12\nFROM python:${V}-slim", Some(("python:3.12-slim", None, 2))),
        ("ARG V=3.12\nARG I=python:$V\nFROM $I", Some(("python:3.12", None, 3))),
        ("ARG V\nFROM python:$V", None),
        ("ARG V\nFROM python:${V:-3.11}", Some(("python:3.11", None, 2))),
        ("FROM --platform=linux/arm64 a", Some(("a", Some("linux/arm64"), 1))),
        ("FROM --platform=$BUILDPLATFORM a", Some(("a", None, 1))),
        ("FROM --platform=${TARGETPLATFORM} a", Some(("a", None, 1))),
        ("FROM scratch", None),
    ] {
        let base = read(text).0.base;
        let base = base.as_ref().map(|base| (base.reference.as_str(), base.platform.as_deref(), base.line));
        assert_eq!(base, want, "{text}");
    }
}

#[test]
fn variables_and_labels_are_taken_over() {
    let (recipe, _) = read(concat!(
        "FROM a AS base\nENV ONE=1 TWO=\"2 3\"\nFROM base\nARG NAME=x\nENV THREE $ONE-$NAME\n",
        "ENV PIP_NO_CACHE_DIR=1 PATH=/x:$PATH PYTHONUNBUFFERED=1\nLABEL org.opencontainers.image.source=https://example.com/x\n"
    ));
    let env: Vec<_> = recipe.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(env, ["ONE=1", "PYTHONUNBUFFERED=1", "THREE=1-x", "TWO=2 3"]);
    assert_eq!(recipe.labels["org.opencontainers.image.source"], "https://example.com/x");
    assert!(recipe.steps.is_empty(), "{:?}", recipe.steps);
}

#[test]
fn every_other_step_is_named_with_what_to_do() {
    let text = "FROM python:3.12-slim AS tools
RUN wget https://example.com/tool
FROM python:3.12-slim
RUN apt-get update && apt-get install -y git default-jre && rm -rf /var/lib/apt/lists/*
RUN curl -sSL https://example.com/install.sh | sh
WORKDIR /app
COPY . .
COPY profiles.yml /root/.dbt/profiles.yml
COPY elsewhere/lib lib
COPY --from=tools /tool /usr/local/sbin/tool
ADD https://example.com/model.bin /models/
ADD data.tar.gz /data/
RUN pip install -r requirements/prod.txt
RUN pip install boto3 '.[prod]' dagster
RUN pip install --extra-index-url https://example.com/simple -r requirements.txt
RUN uv sync --frozen --extra prod
RUN dbt deps && dbt compile
RUN echo x > /etc/motd
RUN useradd -m me
ENV PYTHONPATH=/app/src TOKEN=$SECRET
COPY dagster.yaml /opt/dagster/dagster_home/
USER me
VOLUME /data
HEALTHCHECK CMD true
STOPSIGNAL SIGINT
ENTRYPOINT [\"tini\", \"--\"]
CMD [\"dagster\", \"code-server\", \"start\"]
COPY above/profiles.yml /srv/
COPY above/models /included/models
";
    let shown = read(text).1.join("\n").replace(" → ", "\n    ");
    assert_eq!(shown, SHOWN.trim_end());
}

/// What is said about the Dockerfile above.
const SHOWN: &str = include_str!("steps.txt");

#[test]
fn an_install_script_counts_as_the_commands_in_it() {
    let facts = Facts { requires: &|_| false, chooses: false, ..Facts::permissive() };
    let steps = |text: &str| {
        let steps = judge::script(text, Path::new("dagster_cloud_post_install.sh"), &facts);
        steps.iter().map(|step| format!("{} {} {}", step.line, step.is_needed, step.text)).collect::<Vec<_>>()
    };
    assert_eq!(steps("#!/bin/bash\nset -e\n# nothing\npip install --upgrade pip\n"), Vec::<String>::new());
    assert_eq!(
        steps("#!/bin/bash\napt-get update && \\\n  apt-get install -y default-jre\ndbt deps\n"),
        ["2 true apt-get install -y default-jre", "4 true dbt deps"]
    );
}

#[test]
fn files_of_a_directory_are_read_and_errors_have_a_place() {
    let dir = tempfile::tempdir().unwrap();
    let facts = Facts { chooses: false, ..Facts::permissive() };
    let read = || Recipe::read(dir.path(), Path::new("project"), None, &facts);
    assert_eq!(read().unwrap(), Recipe::default());
    std::fs::write(dir.path().join("Containerfile"), "FROM a\n").unwrap();
    assert_eq!(read().unwrap().base.unwrap().reference, "a");
    std::fs::write(dir.path().join("Dockerfile"), "FROM b\nRUN apt-get install -y git\n").unwrap();
    std::fs::write(dir.path().join("dagster_cloud_pre_install.sh"), "apk add git\n").unwrap();
    let recipe = read().unwrap();
    assert_eq!(recipe.base.as_ref().unwrap().reference, "b");
    let error = recipe.check().unwrap_err();
    insta::assert_snapshot!(crate::error::error_text(&error, false), @r"
    error: these steps cannot be done without Docker:
      project/Dockerfile:2: RUN apt-get install -y git
        put it into a base image of your own: a Dockerfile with FROM and this step, built when it changes
      project/dagster_cloud_pre_install.sh:1: apk add git
        put it into a base image of your own: a Dockerfile with FROM and this step, built when it changes
      at: project/Dockerfile:2
    hint: make these changes, or build without these steps with --ignore-dockerfile
    ");
    std::fs::write(dir.path().join("Dockerfile"), "FROM b\nNO\n").unwrap();
    let error = read().unwrap_err();
    insta::assert_snapshot!(crate::error::error_text(&error, false), @r"
    error: `project/Dockerfile` is not a valid Dockerfile
      at: project/Dockerfile:2
      caused by: `NO` is not an instruction
    hint: correct it, or pass --ignore-dockerfile to build without it
    ");
}

/// Users were told to include the code once more.
#[test]
fn a_copy_before_its_working_directory_is_one_into_it() {
    assert_eq!(needed("FROM a\nCOPY . /app\nWORKDIR /app\n"), Vec::<String>::new());
    assert_eq!(needed("FROM a\nENV HOME=/app\nCOPY . /app\nWORKDIR $HOME\n"), Vec::<String>::new());
    assert_eq!(
        read("FROM a\nENV CODE=/app\nWORKDIR $CODE\n").1[0],
        "2 ENV CODE → the build directory is at /opt/dagster/app: where the code reads it, --image-env CODE=/opt/dagster/app"
    );
    assert_eq!(needed("FROM a\nCOPY . /srv\nWORKDIR /app\n").len(), 1);
}

#[test]
fn what_the_image_has_anyway_does_not_stop_the_build() {
    let (recipe, steps) = read(
        "FROM a\nARG GIVEN\nENTRYPOINT []\nCMD []\nUSER root\nUSER 0:0\nENV F=$UNSET G=x${UNSET}y H=$GIVEN\nENV I=$F.\n",
    );
    let env: Vec<_> = recipe.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(env, ["F=", "G=xy", "I=."]);
    assert_eq!(
        steps,
        [
            "5 USER root → the user of the base image is kept",
            "6 USER 0:0 → the user of the base image is kept",
            "7 ENV F → nothing here sets `UNSET`, so it counts as empty; where the base sets it: --image-env F=VALUE",
            "7 ENV G → nothing here sets `UNSET`, so it counts as empty; where the base sets it: --image-env G=VALUE",
            "7! ENV H → its value is not known here: --image-env H=VALUE",
        ]
    );
}

/// It was shown as `RUN then pip install foo`.
#[test]
fn a_command_within_a_compound_one_is_shown_with_all_of_it() {
    let text = "FROM a\nRUN if [ \"$B\" = x ]; then \\\n  pip install foo; fi\n";
    assert_eq!(
        needed(text),
        ["2! RUN if [ \"$B\" = x ]; then pip install foo; fi → the project does not require this: add to \
          requirements.txt or pyproject.toml `foo`"]
    );
}

/// The mark of a step with the flags in what it becomes.
fn flags_of(step: &str) -> String {
    let (line, becomes) = (step.split(' ').next().unwrap(), step.split(" → ").nth(1).unwrap());
    let words: Vec<_> = becomes.split(' ').collect();
    let flags = words.windows(2).filter(|pair| pair[0] == "--image-include").map(|pair| pair.join(" "));
    format!("{line} {}", flags.collect::<Vec<_>>().join(" "))
}

/// Only line 2 was named, with `--image-include extra:/b/extra`, and then nothing more.
#[test]
fn what_the_last_stage_copies_from_another_is_followed_to_its_final_place() {
    let stages =
        |first: &str, last: &str| format!("FROM a AS builder\n{first}\nFROM a\nWORKDIR /app\n{last}\n");
    for (first, last, want) in [
        ("COPY . /b", "COPY --from=builder /b /app", vec![]),
        ("COPY . /b", "COPY --from=builder /b .", vec![]),
        (
            "COPY extra /b/extra\nCOPY proj /b/proj",
            "COPY --from=builder /b/proj /app\nCOPY --from=builder /b/extra /opt/extra\nCOPY --from=0 /b/proj/dbt /opt/dbt",
            vec!["7! --image-include extra:/opt/extra", "8! --image-include proj/dbt:/opt/dbt"],
        ),
        (
            "WORKDIR /b\nCOPY above/limits.txt lib/",
            "COPY --from=builder /b/lib/limits.txt /srv/",
            vec!["6! --image-include ../above/limits.txt:/srv/limits.txt"],
        ),
        // Everything that is below it.
        (
            "COPY extra /b/extra\nCOPY more /b/c/more",
            "COPY --from=builder /b /opt",
            vec!["6! --image-include extra:/opt/extra --image-include more:/opt/c/more"],
        ),
        // Through a third stage, and a variable.
        (
            "COPY extra /b/extra\nFROM a AS second\nENV D=/c\nWORKDIR $D\nCOPY --from=builder /b/extra ./extra",
            "COPY --from=second /c/extra /opt/extra",
            vec!["9! --image-include extra:/opt/extra"],
        ),
        // Made by commands.
        (
            "WORKDIR /b\nRUN pip install --target=/b/made .",
            "COPY --from=builder /b/made /opt/made",
            vec!["6! "],
        ),
        ("COPY . /app\nRUN dbt deps", "COPY --from=builder /app/elsewhere /opt/x", vec!["3! ", "6! "]),
        (
            "COPY extra /b\nRUN echo x > /b/made",
            "COPY --from=builder /b /opt/b",
            vec!["6! --image-include extra:/opt/b"],
        ),
        ("RUN true", "COPY --from=builder /usr/bin/tool /usr/bin/tool", vec!["5! "]),
        // A virtual environment is made anyway; what is copied to such a place is not.
        ("WORKDIR /b\nCOPY . .\nRUN uv sync", "COPY --from=builder /b/.venv /opt/venv", vec![]),
        (
            "COPY wheels /wheels",
            "COPY --from=builder /wheels /wheels",
            vec!["5! --image-include wheels:/wheels"],
        ),
        // What is added needs nothing more.
        ("COPY extra /b/extra", "COPY --from=builder /b/extra /included/extra", vec![]),
    ] {
        let text = stages(first, last);
        let shown: Vec<String> = needed(&text).iter().map(|step| flags_of(step)).collect();
        assert_eq!(shown, want, "{text}");
    }
}
