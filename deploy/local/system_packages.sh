#!/usr/bin/env bash
# What the tests want from the system: Chromium and PostgreSQL, installed where we may; Java and Maven, reported.
#
# Silent and quick when everything is there. Never a reason for a build to fail: what stays missing is named in
# one line, and the tests that need it skip, saying so. SYSTEM_ROOT (default: /) is where to look and to write.
set -uo pipefail

readonly root="${SYSTEM_ROOT:-}"

has() { command -v "$1" >/dev/null 2>&1; }
has_chromium() { has chromium || has chromium-browser || has google-chrome; }
has_postgresql() { compgen -G "$root/usr/lib/postgresql/*/bin/initdb" >/dev/null || has initdb; }

wanted=()
has_chromium || wanted+=(chromium chromium-driver)
has_postgresql || wanted+=(postgresql)

# Debian makes and starts a cluster when PostgreSQL is installed; the tests run their own, and no service stays.
without_a_cluster() {
  local settings="$root/etc/postgresql-common/createcluster.conf"
  [[ -e $settings ]] && return
  mkdir -p "${settings%/*}" && echo "create_main_cluster = false" >"$settings"
}

install_wanted() {
  export DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1
  echo "Installing ${wanted[*]} for the tests ..."
  [[ " ${wanted[*]} " == *" postgresql "* ]] && without_a_cluster
  apt-get -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=20 update >/dev/null 2>&1
  apt-get -qq -o DPkg::Lock::Timeout=120 install --yes --no-install-recommends "${wanted[@]}" >/dev/null 2>&1
}

if ((${#wanted[@]})) && [[ $(id -u) == 0 ]] && has apt-get; then
  install_wanted
fi

missing=()
has_chromium || missing+=("Chromium (the dashboard's tests skip)")
has_postgresql || missing+=("PostgreSQL (its tests skip)")
has java || missing+=("Java 17 (without Docker, Kafka's tests skip)")
has mvn || missing+=("Maven (as for Java, unless Kafka's jars are cached)")
if ((${#missing[@]})); then
  printf -v line '%s, ' "${missing[@]}"
  echo "Not installed: ${line%, }."
fi
exit 0
