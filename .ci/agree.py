#!/usr/bin/env python3
"""Whether files that name each other agree: what no schema tells of a compose file or a workflow.

    agree.py compose.yaml --panels panels.yml       also writes the dashboards' queries as rules, for promtool
    agree.py .github/workflows/ci.yml
"""
import argparse
import json
import pathlib
import re
import sys

from ruamel.yaml import YAML

PROVISIONING = "/etc/grafana/provisioning"


def read(path):
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def provisioned(folder):
    """Yields what Grafana is told, file by file."""
    for path in sorted(folder.iterdir()):
        whole = read(path)
        wanted(whole["apiVersion"] == 1, f"{path}: `apiVersion` must be 1")
        yield path, whole


def wanted(fact, message):
    if not fact:
        sys.exit(message)


def mounts(compose, service, folder, named):
    """Returns where in the container each folder or file of this machine is, after a look whether it is there."""
    found = {}
    for volume in service.get("volumes", []):
        # A variable's default may hold a colon of its own.
        source, target = re.fullmatch(r"(\$\{[^}]*\}|[^:]+):([^:]+)(?::ro)?", volume).groups()
        if source.startswith("$"):
            continue
        if source.startswith((".", "/")):
            wanted((folder / source).exists(), f"there is no `{source}`, which `{volume}` mounts")
            found[target] = folder / source
        else:
            wanted(source in named, f"`{source}` of `{volume}` is no volume")
    return found


def service_of(address, services, where):
    """Asserts that what is asked at `name:port` is a service."""
    name = re.sub(r"^https?://", "", address).split(":")[0]
    wanted(name in services, f"{where}: `{name}` is no service")


def queries(panel, sources, where):
    wanted(panel["targets"], f"{where}: panel `{panel['title']}` asks nothing")
    uid = panel["datasource"]["uid"]
    wanted(uid in sources, f"{where}: panel `{panel['title']}` asks `{uid}`, which is no datasource")
    # What Grafana fills in is a stretch of time for the parser.
    return [re.sub(r"\$__\w+", "5m", target["expr"]) for target in panel["targets"]]


def grafana(mounted, services):
    """Returns the queries of all dashboards."""
    provisioning = mounted[PROVISIONING]
    sources, expressions = set(), []
    for path, whole in provisioned(provisioning / "datasources"):
        for source in whole["datasources"]:
            service_of(source["url"], services, path)
            sources.add(source["uid"])
    for path, whole in provisioned(provisioning / "dashboards"):
        for provider in whole["providers"]:
            folder = mounted.get(provider["options"]["path"])
            wanted(folder, f"{path}: nothing is mounted at `{provider['options']['path']}`")
            dashboards = sorted(folder.glob("*.json"))
            wanted(dashboards, f"{folder} holds no dashboard")
            for dashboard in dashboards:
                panels = json.loads(dashboard.read_text(encoding="utf-8"))["panels"]
                wanted(len({panel["id"] for panel in panels}) == len(panels) > 0, f"{dashboard}: panels need ids of their own")
                for panel in panels:
                    expressions += queries(panel, sources, dashboard) if panel["type"] != "row" else []
    return expressions


def compose(path):
    whole = read(path)
    services, named = whole["services"], set(whole.get("volumes", {}))
    expressions, used = [], set()
    for name, service in services.items():
        wanted("restart" in service, f"`{name}` stays away once it has ended")
        for other in service.get("depends_on", []):
            wanted(other in services, f"`{name}` waits for `{other}`, which is no service")
        mounted = mounts(path, service, path.parent, named)
        used |= {volume.split(":")[0] for volume in service.get("volumes", [])}
        if PROVISIONING in mounted:
            expressions += grafana(mounted, services)
        for target, source in mounted.items():
            if target.endswith("prometheus.yml"):
                for job in read(source)["scrape_configs"]:
                    for address in job["static_configs"][0]["targets"]:
                        service_of(address, services, source)
            if target.endswith("nginx.conf"):
                text = source.read_text(encoding="utf-8")
                for address in re.findall(r"^ *server (\S+:\d+)", text, re.MULTILINE):
                    service_of(address, services, source)
                listens = re.search(r"listen (\d+);", text)[1]
                wanted(service["ports"][0].endswith(f":{listens}"), f"{source} listens on {listens}, which `{name}` does not publish")
    wanted(named <= used, f"nothing uses {sorted(named - used)}")
    wanted(expressions, "no dashboard asks anything")
    return expressions


def workflow(path):
    whole, top = read(path), path.resolve().parents[2]
    wanted("push" in whole["on"], f"{path}: a push starts nothing")
    steps = [step for job in whole["jobs"].values() for step in job["steps"]]
    commands = [step["run"] for step in steps if "run" in step]
    wanted(len(commands) > 1, f"{path}: nothing is trained or tested")
    for name in re.findall(r"[\w/]+\.(?:py|js|txt)\b", "\n".join(commands)):
        wanted((top / name).is_file(), f"{path}: there is no `{name}`")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("file", type=pathlib.Path)
    arguments.add_argument("--panels", type=pathlib.Path)
    arguments = arguments.parse_args()
    if arguments.panels:
        rules = [{"record": f"panel:{place}", "expr": query} for place, query in enumerate(compose(arguments.file))]
        arguments.panels.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    else:
        workflow(arguments.file)
