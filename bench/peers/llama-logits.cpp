// Prints, as JSON, llama.cpp's logits behind every token and the tokens that it then chooses greedily. Built and run by
// bench/compare-logits.ts. Arguments: the folder of llama.cpp's libraries, the model's file, how many tokens to choose, the tokens.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "ggml-backend.h"
#include "llama.h"

namespace {

void print_error(ggml_log_level level, const char* text, void*) {
  if (level >= GGML_LOG_LEVEL_ERROR && level != GGML_LOG_LEVEL_CONT) fputs(text, stderr);
}

/** Uses float32 wherever there is a choice. */
llama_context_params exact_params(int positions) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = params.n_batch = params.n_ubatch = positions;
  params.n_threads = params.n_threads_batch = 1;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  params.type_k = params.type_v = GGML_TYPE_F32;
  return params;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  llama_log_set(print_error, nullptr);
  ggml_backend_load_all_from_path(argv[1]);
  const int count = atoi(argv[3]);
  std::vector<llama_token> tokens;
  for (int i = 4; i < argc; ++i) tokens.push_back(atoi(argv[i]));
  const int prompt = static_cast<int>(tokens.size());

  llama_model* model = llama_model_load_from_file(argv[2], llama_model_default_params());
  if (!model) return 1;
  llama_context* context = llama_init_from_model(model, exact_params(prompt + count + 8));
  if (!context) return 1;
  const int vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));

  llama_batch batch = llama_batch_init(prompt, 0, 1);
  batch.n_tokens = prompt;
  for (int i = 0; i < prompt; ++i) {
    batch.token[i] = tokens[i];
    batch.pos[i] = i;
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = 0;
    batch.logits[i] = true;
  }
  if (llama_decode(context, batch)) return 1;
  printf("{\"logits\":[");
  for (int i = 0; i < prompt; ++i) {
    const float* logits = llama_get_logits_ith(context, i);
    for (int k = 0; k < vocabulary; ++k) printf("%s%.9g", i + k > 0 ? "," : "", logits[k]);
  }
  printf("],\"tokens\":[");
  const float* logits = llama_get_logits_ith(context, prompt - 1);
  for (int step = 0; step < count; ++step) {
    llama_token best = 0;
    for (int k = 1; k < vocabulary; ++k) {
      if (logits[k] > logits[best]) best = k;
    }
    printf("%s%d", step > 0 ? "," : "", best);
    if (llama_decode(context, llama_batch_get_one(&best, 1))) return 1;
    logits = llama_get_logits_ith(context, -1);
  }
  printf("]}\n");
  return 0;
}
