#!/usr/bin/env bash
# A Slurm of two nodes on this one machine, for the tests: Debian's slurm-wlm, slurmdbd, munge and mariadb-server, as root.
#
#   slurm.sh start FOLDER     everything it writes is in FOLDER; then: export SLURM_CONF=FOLDER/slurm.conf
#   slurm.sh node FOLDER N    start node N (n1, n2), again after it was lost
#   slurm.sh lose FOLDER N    node N disappears with all that runs on it
#   slurm.sh stop FOLDER
#
# Nothing of an installed Slurm is touched: sockets, ports, keys and accounting are its own.
set -euo pipefail
command=$1 folder=$(realpath -m "$2") node=${3:-}
export SLURM_CONF=$folder/slurm.conf
host=$(hostname -s)

wait_for() {
  for _ in $(seq 100); do "$@" > /dev/null 2>&1 && return; sleep 0.2; done
  echo "$* failed for 20 seconds; see $folder/*.log" >&2
  exit 1
}

settings() {
  mkdir -p "$folder"/{mariadb,state,munge,n1,n2}
  chmod 755 "$folder"
  cat > "$folder/slurm.conf" << END
ClusterName=tests
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=17817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=17819
AccountingStoreFlags=job_comment
AccountingStoragePass=$folder/munge/socket
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
SlurmdTimeout=10
KillWait=2
ReturnToService=2
RebootProgram=/bin/true
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=17821 CPUs=1 RealMemory=8000
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=17822 CPUs=1 RealMemory=8000
PartitionName=tests Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
  cat > "$folder/slurmdbd.conf" << END
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=17819
SlurmUser=root
PidFile=$folder/slurmdbd.pid
LogFile=$folder/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=17806
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
END
  chmod 600 "$folder/slurmdbd.conf"
}

database() {
  mariadb-install-db --no-defaults --user=root --datadir="$folder/mariadb" --auth-root-authentication-method=normal > "$folder/mariadb.log" 2>&1
  mariadbd --no-defaults --user=root --datadir="$folder/mariadb" --socket="$folder/mariadb.socket" --port=17806 \
    --bind-address=127.0.0.1 --pid-file="$folder/mariadb.pid" >> "$folder/mariadb.log" 2>&1 &
  wait_for mariadb --no-defaults --socket="$folder/mariadb.socket" -e 'SELECT 1'
  mariadb --no-defaults --socket="$folder/mariadb.socket" -e "
    CREATE DATABASE slurm; CREATE USER slurm@127.0.0.1 IDENTIFIED BY 'slurm'; GRANT ALL ON slurm.* TO slurm@127.0.0.1;
    CREATE USER slurm@localhost IDENTIFIED BY 'slurm'; GRANT ALL ON slurm.* TO slurm@localhost;"
}

start() {
  settings
  database
  head -c 1024 /dev/urandom > "$folder/munge/key"
  chmod 600 "$folder/munge/key"
  munged --force --socket="$folder/munge/socket" --key-file="$folder/munge/key" --log-file="$folder/munge/log" \
    --pid-file="$folder/munge/pid" --seed-file="$folder/munge/seed" --num-threads=2
  slurmdbd
  wait_for sacctmgr -n list cluster
  sacctmgr -i add cluster tests > /dev/null
  slurmctld
  for node in n1 n2; do slurmd -N $node; done
  wait_for nodes_up
}

nodes_up() { [ "$(sinfo -h -N -o %T | sort -u)" = idle ]; }

# Of the processes in whose environment a variable has this value: those of this Slurm.
ours() { grep -lzxF -e "$1" /proc/[0-9]*/environ 2> /dev/null | xargs -r grep -lzxF -e "SLURM_CONF=$SLURM_CONF" 2> /dev/null | cut -d / -f 3; }

# First what would report the end of a job, then the jobs. The daemons of a job's steps name the job alone.
lose() {
  local step steps=()
  for step in "$folder/$node/${node}_"*; do
    step=${step##*_}
    for pid in $(pgrep -f "^slurmstepd: \[${step%%.*}\."); do steps+=("$pid"); done
  done
  if [ -f "$folder/$node.pid" ]; then kill -9 "$(cat "$folder/$node.pid")" "${steps[@]}" 2> /dev/null || true; fi
  kill -9 $(ours "SLURMD_NODENAME=$node") 2> /dev/null || true
}

case $command in
  start) start ;;
  node) slurmd -N "$node" ;;
  lose) lose ;;
  stop)
    for node in n1 n2; do lose; done
    for file in slurmctld.pid slurmdbd.pid munge/pid mariadb.pid; do
      if [ -f "$folder/$file" ]; then kill "$(cat "$folder/$file")" 2> /dev/null || true; fi
    done
    ;;
  *) echo "slurm.sh start | node | lose | stop FOLDER [NODE]" >&2; exit 2 ;;
esac
