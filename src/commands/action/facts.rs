//! What the reports of a step say of its run, and what tells it apart from others.

use crate::cli::DeployArgs;
use crate::cli::action::ActionInputs;
use crate::context::address::Endpoint;
use crate::context::built::BuiltCommit;
use crate::context::event::Trigger;
use crate::context::git::WorkTree;
use crate::context::workflow_run::WorkflowRun;
use crate::deployment::goal::directory_of;
use crate::host::Host;
use crate::report::facts::Facts;

/// What a report says about a run that builds or deploys.
pub fn of_deploy(run: &WorkflowRun, trigger: Option<&Trigger>, args: &DeployArgs, host: &Host) -> Facts {
    let mut facts = of_run(run);
    facts.job = job(run, args);
    let Some(trigger) = trigger else { return facts };
    let built =
        BuiltCommit::read(trigger, &WorkTree::at(&directory_of(&host.absolute(args.project())), host), host);
    facts.branch = match trigger {
        Trigger::PullRequest(request) | Trigger::PullRequestClosed(request) => Some(request.branch.clone()),
        Trigger::Commit(commit) => commit.branch.clone(),
        _ => None,
    };
    // Such runs do not build what is checked out, so its commit would be misleading.
    if !matches!(trigger, Trigger::Untrusted(_) | Trigger::Nothing(_)) {
        facts.repository_url = built.web.or(facts.repository_url);
        facts.own_commit = built.event_hash.filter(|_| built.is_elsewhere);
        facts.commit = built.hash;
    }
    facts
}

/// What tells the jobs of a run apart: a matrix, or a workflow that is called twice, gives several jobs the same name.
/// Then the place in the matrix differs, or the inputs of the step.
fn job(run: &WorkflowRun, args: &DeployArgs) -> String {
    let deployment = args.dagster.deployment.clone().unwrap_or_default();
    let file = args.project().display().to_string();
    [run.step.clone(), args.locations.join(","), file, deployment, run.job_index.clone()].join("/")
}

/// What tells comments of different jobs apart: organization, workflow, and base deployment if one is named.
pub fn comment_key(inputs: &ActionInputs, run: &WorkflowRun, host: &Host) -> String {
    if let Some(key) = &inputs.reporting.comment_key {
        return key.clone();
    }
    let organization = Endpoint::read(&inputs.deploy.dagster, host).ok();
    let organization = organization.map(|endpoint| endpoint.organization_url.replace("https://", ""));
    let base = inputs.deploy.publish.branch.base_deployment.as_deref();
    [organization.as_deref(), Some(run.workflow.as_str()), base]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("/")
}

/// What a report says about a run when only its variables are known.
pub fn of_run(run: &WorkflowRun) -> Facts {
    let page = run.server_url.as_ref().zip(run.repository.as_ref());
    Facts {
        run_id: run.run_id,
        attempt: run.attempt,
        job: run.step.clone(),
        run_url: run.url(),
        job_url: run.job_url(),
        repository_url: page.map(|(server, repository)| format!("{server}/{repository}")),
        ..Facts::default()
    }
}
