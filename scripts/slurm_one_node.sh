#!/bin/bash
# Runs a sweep as a Slurm job array on a cluster of this machine alone, which lasts as long as it.
#
#   apt-get install --no-install-recommends slurmctld slurmd munge    # as root
#   scripts/slurm_one_node.sh method=source_only,dann seed=1,2        # any arguments of `da train -m`
#
# Without accounting, submitit says that sacct is not there, and asks the files of the jobs instead.
# Three daemons keep their files in a temporary folder; PYTHON is the interpreter that has da_framework.
set -euo pipefail

python=${PYTHON:-python}
export PATH=$PATH:/usr/sbin
node=$(hostname -s)
folder=$(mktemp -d)
export SLURM_CONF=$folder/slurm.conf
mkdir "$folder/state" "$folder/spool"

stop() {
    scancel --partition all
    timeout 30 bash -c 'until [ -z "$(squeue --noheader)" ]; do sleep 0.5; done' || true
    for daemon in slurmd slurmctld munged; do
        [ ! -f "$folder/$daemon.pid" ] || kill "$(cat "$folder/$daemon.pid")" || true
    done
    sleep 1 # they write as they end
    rm -rf "$folder"
}
trap stop EXIT

cat > "$SLURM_CONF" <<END
ClusterName=one
SlurmctldHost=$node
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthInfo=socket=$folder/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
NodeName=$node CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END

mungekey --create --keyfile "$folder/key"
# forced: the folders above a temporary one are everybody's
munged --force --key-file "$folder/key" --socket "$folder/munge" --pid-file "$folder/munged.pid" \
    --log-file "$folder/munged.log" --seed-file "$folder/seed" 2> /dev/null
slurmctld
slurmd
until sinfo --noheader --states=idle 2> /dev/null | grep -q "$node"; do sleep 0.5; done

"$python" -m da_framework train -m hydra/launcher=slurm "$@"
