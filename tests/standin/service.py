"""Dagster+ as far as a deploy client sees it: deployments, code locations that load, the registry.

Methods of `Root` named like a root field of schema.graphql resolve that field.
"""

import hashlib
import itertools
import json
import re
import threading

from answers import python_error, union
from runs import RunRoot

LOCATION_KEYS = {
    "location_name",
    "code_source",
    "working_directory",
    "executable_path",
    "attribute",
    "image",
    "agent_queue",
    "container_context",
    "git",
    "pex_metadata",
    "pex_bundle",
    "defs_state_info",
}
# What `CodeLocationDeployData` of dagster-cloud-cli 1.13.27 keeps as it is.
METADATA_KEYS = ("image", "working_directory", "executable_path", "attribute", "agent_queue", "defs_state_info")
CODE_SOURCES = {"package_name", "module_name", "python_file", "autoload_defs_module_name"}


class Location:
    """One code location of one deployment, and how it loads."""

    def __init__(self, document):
        self.name = document["location_name"]
        self.served = None  # what the workspace shows: (document, stamp, version, outcome), None before a first load
        self.update(document, 0.0, "0", {})

    def update(self, document, stamp, version, plan):
        self.document, self.stamp, self.version = document, stamp, version
        self.plan = plan
        self.stale_polls = plan.get("stale_polls", 0) if self.served else 0
        self.loading_polls = plan.get("loading_polls", 1)
        self.done = False

    def poll(self, agent_running, missing):
        """One look at the workspace: time passes only with an agent running."""
        if self.done:
            return
        if self.stale_polls > 0:
            self.stale_polls -= 1
        elif agent_running and self.loading_polls > 0 and not self.plan.get("never"):
            self.loading_polls -= 1
        elif agent_running and not self.plan.get("never"):
            self.done = True
            error = self.plan.get("error")
            if missing:
                error = {"message": f"PEX files not found in the registry: {', '.join(missing)}"}
            self.served = (self.document, self.stamp, self.version, error)

    def serving(self):
        """The PEX tag that runs now, that of the load before while another loads; null if none did, or it failed."""
        if not self.served:
            return None
        document, _, _, error = self.served
        return None if error else (document.get("pex_metadata") or {}).get("pex_tag")

    def entry(self, repositories=()):
        """The WorkspaceLocationEntry that is shown now."""
        stale = not self.done and self.served and (self.stale_polls > 0 or self.plan.get("never_flips"))
        if self.done or stale:
            document, stamp, version, error = self.served
            value = union("RepositoryLocation", id=self.name, name=self.name, repositories=list(repositories))
            value = python_error(**error) if error else value
            status = "LOADED"
        else:
            document, stamp, version, value, status = self.document, self.stamp, self.version, None, "LOADING"
        git = document.get("git") or {}
        metadata = {**{f"code_source.{k}": v for k, v in document["code_source"].items()}, **git}
        return {
            "__typename": "WorkspaceLocationEntry",
            "id": self.name,
            "name": self.name,
            "loadStatus": status,
            "locationOrLoadError": value,
            "updatedTimestamp": stamp,
            "versionKey": version,
            "displayMetadata": [{"key": k, "value": str(v)} for k, v in metadata.items() if v is not None],
        }


class Deployment:
    def __init__(self, number, name, kind, agent_type="SERVERLESS"):
        self.number, self.name, self.kind, self.agent_type = number, name, kind, agent_type
        self.locations = {}
        self.branch = None
        self.status = None
        self.defs_state = {}

    def graphql(self):
        return union(
            "DagsterCloudDeployment",
            agentType=self.agent_type,
            deploymentId=self.number,
            deploymentName=self.name,
            deploymentType=self.kind,
        )


class Service:
    """State of one organization."""

    def __init__(self, config, store, store_url, violation):
        self.config, self.store, self.store_url, self.violation = config, store, store_url, violation
        self.lock = threading.Lock()  # held while a request is resolved
        self.numbers = itertools.count(1)
        self.stamps = itertools.count(1_700_000_000)
        self.agent_polls = 0
        self.runs, self.runs_by_key = {}, {}
        self.deployments = {}
        for item in config.get("deployments", [{"name": "prod"}]):
            deployment = Deployment(
                next(self.numbers), item["name"], item.get("kind", "PRODUCTION"), item.get("agent_type", "SERVERLESS")
            )
            self.deployments[deployment.name] = deployment
            for document in item.get("locations", []):
                location = Location(document)
                location.loading_polls = 0
                location.poll(True, [])
                deployment.locations[location.name] = location

    def default_deployment(self):
        return next(iter(self.deployments.values()))

    def agent_running(self):
        agents = self.config.get("agents", {})
        return not agents.get("absent") and self.agent_polls >= agents.get("appears_after_polls", 0)

    def denied(self, deployment):
        return deployment.name in self.config.get("unauthorized_deployments", [])


class Root(RunRoot):
    """Resolvers for one request, at one deployment."""

    def __init__(self, service, deployment, key=None):
        self._service, self._deployment, self._key = service, deployment, key

    # -- registry

    def generateServerlessPexUrl(self, filenames, method):
        if self._deployment.agent_type == "HYBRID":
            self._service.violation("PEX files of a Hybrid deployment", names=filenames)
            return []
        return [{"url": self._service.store_url + self._service.store.presign(name, method)} for name in filenames]

    def serverless(self):
        config = self._service.config.get("serverless", {})
        return {
            "awsRegion": "us-west-2",
            "awsAuthToken": config.get("auth_token", "QVdTOnBhc3N3b3Jk"),
            "registryAllowCustomBase": config.get("allow_custom_base", False),
            "registryIsHarbor": config.get("is_harbor", False),
            "registryUrl": config.get("registry_url", "registry.example.test/acme"),
        }

    # -- deployments

    def currentDeployment(self):
        return self._deployment.graphql()

    def fullDeployments(self):
        return [d.graphql() for d in self._service.deployments.values() if d.kind != "BRANCH"]

    def deploymentByName(self, name):
        found = self._service.deployments.get(name)
        return found.graphql() if found else union("DeploymentNotFoundError", message=f"no deployment {name}")

    def getBranchDeploymentName(self, repoName, branchName):
        return branch_deployment_name(repoName, branchName)

    def createOrUpdateBranchDeployment(self, branchData, commit, baseDeploymentName=None, snapshotBaseCondition=None):
        service = self._service
        if baseDeploymentName is not None and baseDeploymentName not in service.deployments:
            return python_error(f"deployment {baseDeploymentName} does not exist")
        name = branch_deployment_name(branchData["repoName"], branchData["branchName"])
        found = service.deployments.get(name)
        if found is None:
            # A branch deployment runs on the agents of the deployment that it is based on.
            base = service.deployments.get(baseDeploymentName) or service.default_deployment()
            found = service.deployments[name] = Deployment(next(service.numbers), name, "BRANCH", base.agent_type)
        found.branch = {"branchData": branchData, "commit": commit, "baseDeploymentName": baseDeploymentName}
        found.status = branchData.get("pullRequestStatus")
        return found.graphql()

    def deleteDeployment(self, deploymentId):
        for name, deployment in list(self._service.deployments.items()):
            if deployment.number == deploymentId:
                del self._service.deployments[name]
                return deployment.graphql()
        return python_error(f"no deployment {deploymentId}")

    # -- code locations

    def addOrUpdateLocationFromDocument(self, document):
        if self._service.denied(self._deployment):
            return union("UnauthorizedError", message="the token may not change this deployment")
        errors = self._errors(document)
        if errors:
            return union("InvalidLocationError", errors=errors)
        return self._update(document)

    def deployLocations(self, document):
        return self._deploy(document, "DeployLocationsSuccess", remove_others=False)

    def reconcileLocationsFromDocument(self, document):
        return self._deploy(document, "ReconcileLocationsSuccess", remove_others=True)

    def deleteLocation(self, locationName):
        if self._deployment.locations.pop(locationName, None) is None:
            return python_error(f"no code location {locationName}")
        return union("DeleteLocationSuccess", locationName=locationName)

    def _deploy(self, document, success, remove_others):
        if self._service.denied(self._deployment):
            return union("UnauthorizedError", message="the token may not change this deployment")
        if not isinstance(document, dict) or set(document) != {"locations"}:
            return union("InvalidLocationError", errors=["the document needs exactly the key `locations`"])
        errors = [error for one in document["locations"] for error in self._errors(one)]
        if errors:
            return union("InvalidLocationError", errors=errors)
        updated = [self._update(one) for one in document["locations"]]
        if remove_others:
            names = {one["location_name"] for one in document["locations"]}
            for name in set(self._deployment.locations) - names:
                del self._deployment.locations[name]
        return union(success, locations=updated)

    def _errors(self, document):
        errors = document_errors(document)
        if not errors and self._deployment.agent_type == "HYBRID":
            # Source: the checks of the agents for ECS, Kubernetes and Docker.
            if not document.get("image"):
                errors.append(f"a Hybrid agent needs the `image` of {document['location_name']}")
            if document.get("pex_metadata"):
                errors.append(f"a Hybrid agent has no PEX files for {document['location_name']}")
        return errors

    def _update(self, document):
        service, name = self._service, document["location_name"]
        missing = missing_objects(document, service.store)
        if missing:
            service.violation("update refers to missing objects", location=name, missing=missing)
        if document.get("image") and (document.get("pex_metadata") or {}).get("python_version"):
            service.violation("image and python_version together", location=name)
        location = self._deployment.locations.get(name)
        if location is None:
            location = self._deployment.locations[name] = Location(document)
        plans = service.config.get("load", {})
        plan = plans.get(name, plans.get("*", {}))
        same = location.document == document and location.done
        if same and plan.get("unchanged_keeps_stamp"):
            return entry_of(location)
        stamp = float(next(service.stamps))
        if plan.get("keeps_stamp"):
            location.update(document, location.stamp, location.version, plan)
            return entry_of(location)
        location.update(document, stamp, hashlib.sha1(f"{name}{stamp}".encode()).hexdigest(), plan)
        return entry_of(location)

    def overwrite(self, document):
        """An update by another client, with stored files."""
        for name in missing_objects(document, self._service.store):
            self._service.store.objects[name] = b"PEX"
        self._update(document)

    def workspaceOrError(self):
        service = self._service
        for location in self._deployment.locations.values():
            location.poll(service.agent_running(), missing_objects(location.document, service.store))
        entries = [x.entry(self._repositories(x.name)) for x in self._deployment.locations.values()]
        return union("Workspace", locationEntries=entries)

    def workspace(self):
        return {"workspaceEntries": [entry_of(x) for x in self._deployment.locations.values()]}

    def locationsAsDocument(self):
        return union(
            "LocationsAsDocument", document={"locations": [x.document for x in self._deployment.locations.values()]}
        )

    # -- the state of definitions

    def latestDefsStateInfo(self):
        state = self._deployment.defs_state
        infos = [
            union(
                "DefsStateInfoEntry",
                name=key,
                info=union("DefsKeyStateInfo", version=version, createTimestamp=stamp),
            )
            for key, (version, stamp) in state.items()
        ]
        return union("DefsStateInfo", keyStateInfo=infos) if infos else None

    def setLatestDefsStateVersion(self, key, version=None):
        service, deployment = self._service, self._deployment
        if version is None:
            deployment.defs_state.pop(key, None)
            return union("SetLatestDefsStateVersion", ok=True)
        stored = state_name(deployment.name, key, version)
        if version not in ("__local__", "__code_server__") and stored not in service.store.objects:
            service.violation("a version without its state", key=key, version=version)
        deployment.defs_state[key] = (version, float(next(service.stamps)))
        return union("SetLatestDefsStateVersion", ok=True)

    def secretsOrError(self, onlyViewable=False, scopes=None, secretName=None):
        given = {scope for scope, wanted in (scopes or {}).items() if wanted}
        own = "allBranchDeploymentsScope" if self._deployment.kind == "BRANCH" else "fullDeploymentScope"
        if not onlyViewable or given != {own}:
            self._service.violation("variables of other deployments", scopes=scopes)
        refused = self._service.config.get("secrets_refused")
        if refused:
            return union("UnauthorizedError", message=refused)
        secrets = [
            union(
                "Secret",
                secretName=one["name"],
                secretValue=one["value"],
                locationNames=one.get("locations", []),
            )
            for one in self._service.config.get("secrets", [])
            if one.get("scope", own) == own
        ]
        return union("Secrets", secrets=secrets)

    # -- the rest

    def agents(self):
        service = self._service
        running = service.agent_running()
        service.agent_polls += 1
        if service.config.get("agents", {}).get("absent") == "none listed":
            return []
        return [{"id": "agent-1", "status": "RUNNING" if running else "NOT_RUNNING", "errors": []}]

    def organizationSettings(self):
        return {"settings": {}}

    def markCliEvent(self, **event):
        return "ok"


def entry_of(location):
    document = location.document
    metadata = {
        "__class__": "CodeDeploymentMetadata",
        **{key: document.get(key) for key in METADATA_KEYS},
        **{key: document["code_source"].get(key) for key in sorted(CODE_SOURCES)},
        "git_metadata": {"__class__": "GitMetadata", **document["git"]} if document.get("git") else None,
        "pex_metadata": {"__class__": "PexMetadata", **document["pex_metadata"]}
        if document.get("pex_metadata")
        else None,
        "container_context": document.get("container_context") or {},
        "cloud_context_env": {},
    }
    error = location.served[3] if location.served else None
    return union(
        "WorkspaceEntry",
        locationName=location.name,
        serializedDeploymentMetadata=json.dumps(metadata),
        hasOutdatedData=not location.done,
        hasLoadError=bool(error),
        metadataTimestamp=location.stamp,
    )


def state_name(deployment, key, version):
    """Where the state of a key is kept, as `DefsStateStorage` of dagster 1.13.27 names it."""
    return f"{deployment}/__state__/{re.sub(r'[^A-Za-z0-9._-]', '__', key)}/{version}"


def branch_deployment_name(repo_name, branch_name):
    return hashlib.sha1(f"{repo_name}\0{branch_name}".encode()).hexdigest()


def missing_objects(document, store):
    tag = (document.get("pex_metadata") or {}).get("pex_tag", "")
    names = tag.removeprefix("files=").split(":") if tag else []
    return [name for name in names if name not in store.objects]


def document_errors(document):
    """What the server would not take, one line each."""
    if not isinstance(document, dict):
        return ["a location document is a mapping"]
    errors = [f"unknown key `{key}`" for key in document if key not in LOCATION_KEYS]
    name = document.get("location_name")
    if not isinstance(name, str) or not name:
        errors.append("`location_name` is missing")
    source = document.get("code_source")
    if not isinstance(source, dict) or len([k for k, v in source.items() if v]) != 1 or set(source) - CODE_SOURCES:
        errors.append(f"`code_source` of {name} needs exactly one of {', '.join(sorted(CODE_SOURCES))}")
    for key, value in document.items():
        if value is None:
            errors.append(f"`{key}` of {name} is null")
    image = document.get("image")
    if image is not None and (not isinstance(image, str) or image != image.strip() or not image):
        errors.append(f"`image` of {name} is empty or has blanks around it")
    pex = document.get("pex_metadata")
    if pex is not None and not (
        isinstance(pex, dict)
        and str(pex.get("pex_tag", "")).startswith("files=")
        and set(pex) <= {"pex_tag", "python_version"}
    ):
        errors.append(f"`pex_metadata` of {name} is malformed")
    return errors
