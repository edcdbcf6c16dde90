#include "csrc/simt/addr2line.h"

#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace foretoken::simt {

namespace {

int spawn(const std::string& library, int socket) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, socket, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, socket, STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", 0, 0);
  // -a prints addresses, which mark the end of an answer; -i inlined frames; -f functions; -C demangles names.
  std::string name = "addr2line", options = "-aifC", of = "-e", file = library;
  char* const arguments[] = {name.data(), options.data(), of.data(), file.data(), nullptr};
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  return error ? -1 : pid;
}

}  // namespace

Addr2line::Addr2line(const std::string& library) {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) return;
  pid_ = spawn(library, sockets[1]);
  close(sockets[1]);
  socket_ = sockets[0];
  answers_ = fdopen(socket_, "r");
}

Addr2line::~Addr2line() {
  if (answers_) std::fclose(answers_);
  if (pid_ >= 0) waitpid(pid_, nullptr, 0);
}

bool Addr2line::read_line(std::string& line) {
  line.clear();
  int c;
  while ((c = std::fgetc(answers_)) != EOF && c != '\n') line += static_cast<char>(c);
  return c != EOF;
}

std::vector<Addr2line::Frame> Addr2line::frames(uintptr_t offset) {
  std::vector<Frame> frames;
  if (pid_ < 0 || !answers_) return frames;
  // The answer about a second address shows where the answer about the first one ends.
  char question[64];
  const int length = std::snprintf(question, sizeof question, "0x%llx\n0x0\n", static_cast<unsigned long long>(offset));
  if (send(socket_, question, static_cast<size_t>(length), MSG_NOSIGNAL) != length) return frames;
  std::string line;
  if (!read_line(line)) return frames;  // the address
  Frame frame;
  while (read_line(frame.function) && frame.function != "0x0000000000000000" && read_line(frame.line)) {
    if (frame.line.rfind("??", 0) == 0) continue;
    frame.line = frame.line.substr(0, frame.line.find(" (discriminator"));
    frames.push_back(frame);
  }
  for (int i = 0; i < 2; ++i) read_line(line);  // the answer about address 0
  return frames;
}

}  // namespace foretoken::simt
