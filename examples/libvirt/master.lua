-- Workers in virtual machines of libvirt: started when a build wants them, on a disk that is thrown away afterwards.
-- For somebody with a master.cfg: the arguments are those of Buildbot's LibVirtWorker; what is new is said.
-- The master's machine needs the programs `virsh` and `qemu-img`.
--
--     buildmoon checkconfig examples/libvirt       libvirt is not asked
--     buildmoon instances                          what runs, since when, and why it ends

local c = BuildmasterConfig

-- WORKERS -----------------------------------------------------------------------------------------------------------

-- New: a description may be filled in for each launch. Here the guest finds its login among the machine's serial numbers:
-- `dmidecode -s chassis-asset-tag` says NAME:PASSWORD@MASTER:PORT.
local description = [[
<domain type='kvm'>
  <name>ci</name>
  <memory unit='GiB'>4</memory>
  <vcpu>2</vcpu>
  <os><type>hvm</type><smbios mode='sysinfo'/></os>
  <sysinfo type='smbios'><chassis><entry name='asset'>{name}:{password}@{master}</entry></chassis></sysinfo>
  <features><acpi/><apic/></features>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='{hd_image}'/><target dev='vda' bus='virtio'/>
    </disk>
    <interface type='network'><source network='default'/><model type='virtio'/></interface>
    <serial type='pty'/>
  </devices>
</domain>
]]

c.workers = {
  -- A domain that libvirt knows as "windows", whose disk is made anew from the base image for each start.
  LibVirtWorker{ "windows", util.Secret("windows"), "/srv/vm/windows.qcow2", "/srv/vm/windows-base.qcow2",
    uri = "qemu:///system",
    build_wait_timeout = 600, -- kept so long after its last build
    missing_timeout = 600, -- its worker must have attached by then, or the domain is ended
    graceful_shutdown = true,
  },

  -- New: up to three at a time, `linux-1` to `linux-3`, each with a disk of its own beside the base image that holds only what
  -- differs from it. A worker without a password gets one for each launch.
  LibVirtWorker{ "linux", None,
    base_image = "/srv/vm/linux-base.qcow2",
    xml = description,
    masterFQDN = "192.168.122.1", -- how the guests call this machine
    pool = { max = 3 },
    build_wait_timeout = 0, -- a fresh one for each build
  },
}

-- The password of "windows" is in the environment of the master, as CI_windows.
c.secretsProviders = { secrets.SecretInEnvironment{ prefix = "CI_" } }

-- Workers connect from the guests to here.
c.protocols = { pb = { port = 9989 } }

-- BUILDERS ----------------------------------------------------------------------------------------------------------

local check = util.BuildFactory{
  steps.ShellCommand{ name = "check", command = { "make", "check" } },
}

c.builders = {
  util.BuilderConfig{ name = "check-windows", workernames = { "windows" }, factory = check },
  util.BuilderConfig{ name = "check-linux", workernames = { "linux" }, factory = check },
}

c.schedulers = {
  schedulers.ForceScheduler{ name = "force", builderNames = { "check-windows", "check-linux" } },
}

c.www = { port = 8010 }
c.buildbotURL = "http://localhost:8010/"
