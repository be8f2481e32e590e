local c = BuildmasterConfig
c.workers = {
  DockerLatentWorker{ "bot", None, "unix:///var/run/docker.sock" },
  DockerLatentWorker{ "other", None, "ftp://engine", "ci/debian", autopul = true },
  DockerLatentWorker{ "third", None, "tcp://engine:2375", "ci/debian", volumes = { "/a:/b:ro", "b:c:d:e" } },
  DockerLatentWorker{ "fourth", None, image = "ci/debian", tls = { ca = "ca.pem" } },
}

--[==[ told
master.lua:4: DockerLatentWorker "other": docker_host "ftp://engine" must begin with unix://, tcp://, http:// or https://
  --> master.lua:4
   | 4 |   DockerLatentWorker{ "other", None, "ftp://engine", "ci/debian", autopul = true },
master.lua:5: DockerLatentWorker "third": volumes[2]: "b:c:d:e" must be "/host:/container", with :ro or :rw
  --> master.lua:5
   | 5 |   DockerLatentWorker{ "third", None, "tcp://engine:2375", "ci/debian", volumes = { "/a:/b:ro", "b:c:d:e" } },
master.lua:6: DockerLatentWorker "fourth": tls: unknown key 'ca'
  --> master.lua:6
   | 6 |   DockerLatentWorker{ "fourth", None, image = "ci/debian", tls = { ca = "ca.pem" } },
master.lua:3: DockerLatentWorker "bot": needs an 'image' or a 'dockerfile'
  --> master.lua:3
   | 3 |   DockerLatentWorker{ "bot", None, "unix:///var/run/docker.sock" },
master.lua:4: DockerLatentWorker "other": unknown argument 'autopul' (did you mean 'autopull'?)
  --> master.lua:4
   | 4 |   DockerLatentWorker{ "other", None, "ftp://engine", "ci/debian", autopul = true },
master.lua:6: DockerLatentWorker "fourth": missing argument 'docker_host'
  --> master.lua:6
   | 6 |   DockerLatentWorker{ "fourth", None, image = "ci/debian", tls = { ca = "ca.pem" } },
6 mistakes
exit 1
]==]
